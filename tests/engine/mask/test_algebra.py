"""Expressions of masks mean what they say, in the config too."""

import numpy as np
import pytest

from ferritin import registry
from ferritin.errors import ParameterError, UnknownMethodError
from ferritin.mask import bet, quality, signal
from ferritin.run import config
from ferritin.run.pipeline import reconstruct
from heads import head

ECHOES, SCAN, *_ = head(shape=(38, 44, 36), voxel=(4.0, 4.0, 4.0))


def mask_of(text, **settings):
    method, keywords = config.choose({"mask": {"method": text} | settings}, "mask")
    return method(ECHOES, scan=SCAN, noise_sd=1.0, **keywords).mask


@pytest.fixture(scope="module")
def parts():
    return {
        "bet": bet(ECHOES, SCAN, 1.0).mask,
        "signal": signal(ECHOES, SCAN, 1.0).mask,
        "quality": quality(ECHOES, SCAN).mask,
    }


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("bet & quality", lambda b, q, s: b & q),
        ("bet | quality", lambda b, q, s: b | q),
        ("quality - bet", lambda b, q, s: q & ~b),
        ("~signal & (bet | quality)", lambda b, q, s: ~s & (b | q)),
        ("bet&quality|signal", lambda b, q, s: b & q | s),
    ],
)
def test_sets(text, meaning, parts):
    np.testing.assert_array_equal(mask_of(text), meaning(parts["bet"], parts["quality"], parts["signal"]))


def test_balls_are_in_mm(parts):
    from scipy.ndimage import distance_transform_edt

    inside = distance_transform_edt(parts["bet"], sampling=4.0)
    outside = distance_transform_edt(~parts["bet"], sampling=4.0)
    np.testing.assert_array_equal(mask_of("erode(bet, 5 mm)"), inside > 5)
    np.testing.assert_array_equal(mask_of("dilate(bet, 6.5mm)"), outside <= 6.5)
    assert (mask_of("open(bet, 8 mm)") & ~parts["bet"]).sum() == 0
    assert (parts["bet"] & ~mask_of("close(bet, 8 mm)")).sum() == 0
    assert mask_of("fill(largest(bet - erode(bet, 9 mm)))").sum() >= parts["bet"].sum()


def test_parameters_go_by_the_methods_names(parts):
    smaller = mask_of("bet & signal", **{"bet.fraction": "0.8"})
    np.testing.assert_array_equal(smaller, bet(ECHOES, SCAN, 1.0, fraction=0.8).mask & parts["signal"])
    with pytest.raises(UnknownMethodError, match=r"no parameter 'fraction'; it has: bet.fraction"):
        mask_of("bet & signal", fraction=0.8)


def test_config_files_and_set_reach_them(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('[mask]\nmethod = "erode(bet & quality, 2 mm)"\n[mask.bet]\nfraction = 0.4\n')
    settings = config.load(file)
    assert config.choose(settings, "mask")[1]["bet.fraction"] == 0.4
    again = tmp_path / "again.toml"
    again.write_text(config.as_toml(settings))
    assert config.choose(config.load(again), "mask")[1] == config.choose(settings, "mask")[1]
    told = config.parse(["mask.method=bet & quality", "mask.quality.threshold=0.3"])
    assert config.choose(told, "mask")[1]["quality.threshold"] == 0.3


def test_the_pipeline_runs_an_expression_and_records_it(parts):
    maps = reconstruct(
        SCAN.replace(data={"echoes": ECHOES, "noise_sd": 1.0}),
        targets=("mask",),
        settings={"mask": {"method": "bet & quality"}},
        device="cpu",
    )
    np.testing.assert_array_equal(maps.mask, parts["bet"] & parts["quality"])
    assert maps.stages[0].method == "bet & quality"
    assert maps.stages[0].record.iterations > 0


def test_refine_has_the_grammar_too():
    method = registry.find("refine", "smoothness & decay")
    assert set(method.consumes) == {"total_field", "mask", "r2star"}


@pytest.mark.parametrize(
    ("text", "error", "word"),
    [
        ("bet &", ParameterError, "cannot be read"),
        ("bet + quality", ParameterError, "'bet \\+ quality' is not known"),
        ("erode(bet)", ParameterError, "erode\\(a, 2 mm\\)"),
        ("__import__('os')", ParameterError, "is not known"),
        ("bet & magic", UnknownMethodError, "no method 'magic'"),
    ],
)
def test_what_is_no_expression_is_refused(text, error, word):
    with pytest.raises(error, match=word):
        registry.find("mask", text)


def test_a_plain_wrong_name_is_told_as_before():
    with pytest.raises(UnknownMethodError, match="has no method 'magic'; it has"):
        registry.find("mask", "magic")
