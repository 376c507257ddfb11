"""Choices from defaults, TOML and --set."""

import tomllib

import pytest

from ferritin.errors import FormatError, ParameterError, UnknownMethodError
from ferritin.run import config


def test_defaults_are_valid_toml_and_load_back(tmp_path):
    file = tmp_path / "defaults.toml"
    file.write_text(config.as_toml({}))
    assert config.as_toml(config.load(file)) == config.as_toml({})
    assert tomllib.loads(file.read_text())["dipole"]["method"]


def test_set_is_parsed_and_checked():
    assert config.parse(["dipole.method=tkd", "dipole.threshold=0.2"]) == {
        "dipole": {"method": "tkd", "threshold": "0.2"}
    }
    method, keywords = config.choose(config.parse(["dipole.method=tkd", "dipole.threshold=0.2"]), "dipole")
    assert method.name == "tkd"
    assert keywords["threshold"] == 0.2


@pytest.mark.parametrize(
    ("text", "error", "word"),
    [
        ("dipole", ParameterError, "STAGE.PARAMETER=VALUE"),
        ("dipol.method=tkd", UnknownMethodError, "the stages are"),
        ("dipole.method=magic", UnknownMethodError, "it has"),
        ("dipole.colour=red", UnknownMethodError, "no parameter 'colour'"),
    ],
)
def test_wrong_choices_say_what_there_is(text, error, word):
    with pytest.raises(error, match=word):
        config.parse([text])


def test_a_value_of_the_wrong_type_names_the_default():
    with pytest.raises(ParameterError, match=r"dipole.threshold = 'much' is not valid.*default is"):
        config.parse(["dipole.method=tkd", "dipole.threshold=much"])


def test_a_new_method_drops_the_old_ones_parameters():
    merged = config.merge({"dipole": {"method": "tkd", "threshold": 0.3}}, {"dipole": {"method": "tv"}})
    assert merged == {"dipole": {"method": "tv"}}


def test_broken_and_missing_files_are_one_clear_line(tmp_path):
    with pytest.raises(FormatError, match="no such configuration"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[dipole\n")
    with pytest.raises(FormatError, match="not valid TOML"):
        config.load(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"\x89HDF\xff\xfe")
    with pytest.raises(FormatError, match="not valid TOML"):
        config.load(tmp_path / "bad.toml")
    with pytest.raises(FormatError, match=r"cannot be read \(Is a directory\)"):
        config.load(tmp_path)
    (tmp_path / "three.toml").write_text("[dipole]\nmethod = 3\n")
    with pytest.raises(ParameterError, match=r"dipole\.method = 3; expected a method's name in quotes"):
        config.load(tmp_path / "three.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dipole.lambda=-1", "dipole.lambda = -1; expected a number above 0; the default is 'auto'"),
        ("dipole.lambda=0", "a number above 0"),
        ("dipole.lambda=nan", "dipole.lambda = nan; expected a finite number"),
        ("dipole.lambda=inf", "a finite number"),
        ("mask.fraction=nan", "mask.fraction = nan; expected a finite number"),
        ("dipole.iterations=0", "dipole.iterations = 0; expected 1 or more; the default is 100"),
    ],
)
def test_numbers_that_no_method_takes_are_refused_at_once(text, said):
    with pytest.raises(ParameterError, match=said):
        config.parse([text])


def test_numbers_and_names_that_methods_take_pass():
    said = ["dipole.lambda=1e-4", "dipole.iterations=1", "sources.lambda=auto", "mask.fraction=0.5"]
    assert config.parse(said)["dipole"] == {"lambda": "1e-4", "iterations": "1"}
    assert config.choose(config.parse(["dipole.lambda=l-curve"]), "dipole")[1]["lambda_"] == "l-curve"


def test_none_is_nothing_or_the_choice_of_that_name():
    assert config.choose(config.parse(["r2star.gradient=none"]), "r2star")[1]["gradient"] == "none"
    assert (
        config.choose(config.parse(["background.method=vsharp", "background.step_mm=none"]), "background")[1]["step_mm"]
        is None
    )
