"""The benchmark: data in QSM-CI's layout, cases in fresh processes, resumed and tabled; other programs; the page."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from ferritin.errors import FormatError, InputError, ParameterError, UnknownMethodError
from ferritin.io.nifti import load_volume
from ferritin.metrics import evaluate
from ferritin.run.bench.case import TASKS, Case
from ferritin.run.bench.dataset import Dataset
from ferritin.run.bench.plan import FULL, QUICK, cases, changed, load_plan
from ferritin.run.bench.run import COLUMNS, kept_rows, run_cases, write_table
from ferritin.run.commands.bench import command
from ferritin.stages import STAGES

# ---- data ----------------------------------------------------------------------------------------------------------


def test_dataset_follows_the_contract(data):
    """stages.yml of QSM-CI: names of files, TE in seconds, fields in ppm, four axes for phase and magnitude."""
    params = json.loads((data.folder / "input/params.json").read_text())
    assert params["TE"] == [0.004, 0.012, 0.02]
    assert params["B0_dir"] == [0, 0, 1]
    assert params["voxel_size"] == [8, 8, 8]
    phase, _ = load_volume(data.folder / "input/phase.nii.gz")
    assert phase.shape == (*data.mask.shape, 3)
    assert np.abs(phase).max() <= np.pi + 1e-5
    truth = data.truth("local_field")
    assert 0.001 < truth[data.mask].std() < 0.1  # ppm
    assert set(np.unique(data.labels)) <= set(range(18))


def test_public_tool_takes_the_folder(data):
    """The scorer of the qsm-ci package reads the truth, and gives a perfect score for it."""
    score = pytest.importorskip("qsm_ci.qsm_eval").score_arrays
    truth = data.truth("chi").astype(float)
    scores, _ = score(truth, truth, data.mask.astype(np.uint8), seg=data.labels)
    assert scores["nrmse"] == pytest.approx(0, abs=1e-6)


def test_given_fields_are_in_hz_and_hold_the_noise_they_claim(data):
    noise = data.given("field_noise")
    error = data.given("local_field") - data.truth("local_field") * data.hz_per_ppm
    ratio = (error / np.where(noise > 0, noise, 1))[data.mask]
    assert ratio.std() == pytest.approx(1, rel=0.1)
    assert data.given("echoes").shape == (3, *data.mask.shape)
    assert data.given("echoes").dtype == np.complex64


def test_direction_of_b0_comes_from_the_contract(tmp_path, data):
    other = tmp_path / "tilted"
    shutil.copytree(data.folder, other)
    params = json.loads((other / "input/params.json").read_text())
    params["B0_dir"] = [0.0, 0.6, 0.8]
    (other / "input/params.json").write_text(json.dumps(params))
    assert Dataset(other).scan().b0_dir == pytest.approx((0, 0.6, 0.8))
    assert Dataset(other).scan().voxel_mm == pytest.approx((8, 8, 8))


def test_folder_without_isolated_inputs_gives_the_truth(tmp_path, data):
    other = tmp_path / "plain"
    shutil.copytree(data.folder, other, ignore=shutil.ignore_patterns("isolated"))
    given = Dataset(other).given("local_field")
    np.testing.assert_allclose(given, data.truth("local_field") * data.hz_per_ppm, rtol=1e-6)
    assert Dataset(other).given("s0") is None


def test_wrong_folder():
    with pytest.raises(FormatError, match="input/params"):
        Dataset("/nowhere")


def test_truth_that_is_not_there(tmp_path, data):
    other = tmp_path / "untrue"
    shutil.copytree(data.folder, other, ignore=shutil.ignore_patterns("groundtruth"))
    with pytest.raises(InputError, match="cannot be scored"):
        Dataset(other).truth("chi")


# ---- plans and cases -----------------------------------------------------------------------------------------------


def test_plan_covers_every_method(data):
    from ferritin.registry import methods

    todo = cases(QUICK, [data.folder])
    for task, stage in (("dipole", "dipole"), ("background", "background"), ("r2star", "r2star")):
        there = {m.name for m in methods(stage) if stage != "dipole" or "local_field" in m.consumes}
        assert {c.method for c in todo if c.task == task} == there
    assert {c.method.split("+")[-1] for c in todo if c.task == "field"} == {m.name for m in methods("field")}
    single = {m.name for m in methods("dipole") if "local_field" not in m.consumes}
    assert single <= {c.method for c in todo if c.task == "background+dipole"}
    assert any(c.task == "chain" for c in todo)
    assert all(not c.parameters for c in todo)


def test_sweep_is_around_the_default(data):
    todo = cases(changed(FULL, {"only": ("tkd",), "tasks": ("dipole",)}), [data.folder])
    thresholds = [c.parameters["threshold"] for c in todo if c.parameters]
    assert len(todo) == 1 + len(thresholds)
    assert min(thresholds) < 0.15 < max(thresholds)


def test_chain_is_done_by_the_defaults_and_with_one_stage_otherwise(data):
    first, *others = cases(changed(FULL, {"tasks": ("chain",)}), [data.folder])
    assert first.settings == {}
    assert all(len(case.settings) == 1 for case in others)
    changes = {(stage, said["method"]) for case in others for stage, said in case.settings.items()}
    assert {("unwrap", "laplacian"), ("background", "vsharp"), ("dipole", "tkd")} <= changes
    assert ("dipole", STAGES["dipole"].default) not in changes


def test_plan_from_a_file(tmp_path, data):
    path = tmp_path / "plan.toml"
    path.write_text('tasks = ["dipole"]\nonly = ["tkd"]\nrepeats = 2\n[sweeps."dipole.tkd"]\nthreshold = [0.1, 0.2]\n')
    plan = load_plan(path)
    assert [c.parameters for c in cases(plan, [data.folder])] == [{}, {"threshold": 0.1}, {"threshold": 0.2}]
    path.write_text("colour = 1")
    with pytest.raises(ParameterError, match="no 'colour'"):
        load_plan(path)
    path.write_text("tasks = [")
    with pytest.raises(FormatError, match="TOML"):
        load_plan(path)
    with pytest.raises(ParameterError, match="task 'dipoles'"):
        cases(changed(FULL, {"tasks": ("dipoles",)}), [data.folder])


def test_key_names_what_matters(tkd):
    assert tkd.key() == Case.from_dict(json.loads(json.dumps(tkd.as_dict()))).key()
    other = Case("dipole", {"dipole": {"method": "tkd", "threshold": 0.2}}, tkd.data)
    assert tkd.key() != other.key()
    with pytest.raises(ParameterError, match="task"):
        Case("inversion", {}, tkd.data)


# ---- running -------------------------------------------------------------------------------------------------------


def test_rows(rows, tkd, data):
    out, found = rows
    first = found[0]
    assert first["status"] == "ok"
    assert first["method"] == "tkd"
    assert 0 < first["seconds"] < 10
    assert first["fft_count"] == 2
    made = np.load(out / "rows" / f"{first['key']}.npy")
    assert first["nrmse"] == pytest.approx(evaluate(made, data.truth("chi"), data.mask)["nrmse"])
    assert first["peak_bytes"] >= first["bytes_before"] > 0
    assert first["key"] == tkd.key()
    assert "expected between" in found[3]["status"]
    background = found[4]
    assert background["method"] == STAGES["background"].default
    assert 0.3 < background["valid_share"] < 1
    assert background["nrmse_valid"] > 0


def test_same_map_as_the_stage_alone(rows, data):
    """The benchmark's map is what `ferritin stage` would write from the same files."""
    from ferritin import dipole

    out, found = rows
    given = {n: data.given(n) for n in ("local_field", "mask")}
    expected = dipole.tkd(given["local_field"], given["mask"], data.scan()).chi
    np.testing.assert_allclose(np.load(out / "rows" / f"{found[0]['key']}.npy"), expected, atol=1e-6)


def test_resumes(rows, tkd):
    out, found = rows
    lines = []
    again = run_cases([tkd], out, 60, lines.append)
    assert again == found[:1]
    assert lines == []


def test_table(rows, tmp_path):
    _, found = rows
    write_table(found, tmp_path / "results.csv")
    with open(tmp_path / "results.csv", newline="") as f:
        table = list(csv.DictReader(f))
    assert tuple(table[0]) == COLUMNS
    assert float(table[0]["nrmse"]) == found[0]["nrmse"]
    assert json.loads(table[1]["parameters"]) == {"threshold": 0.05}
    for name in ("commit", "processor", "version", "date"):
        assert name in table[0]


def test_slow_and_broken_cases_become_rows(tmp_path, data, tkd):
    slow, broken = tmp_path / "slow.py", tmp_path / "broken.py"
    slow.write_text("import time; time.sleep(60)")
    broken.write_text("import os; os.abort()")
    todo = [
        Case(**(tkd.as_dict() | {"imports": (name,), "repeats": 1 + i})) for i, name in enumerate(("slow", "broken"))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{tmp_path}:" + ":".join(p for p in sys.path if p))
        found = run_cases(todo, tmp_path / "out", 8)
    assert found[0]["status"] == "stopped after 8 s"
    assert found[1]["status"].startswith("crashed with exit status -6")


# ---- command -------------------------------------------------------------------------------------------------------


def test_command_lists_and_runs(tmp_path, data):
    def run(*words):
        result = CliRunner().invoke(command, [str(w) for w in words])
        assert result.exit_code == 0, result.output
        return result.output

    options = ("-o", tmp_path, "--quick", "--phantom", data.folder, "--task", "dipole", "--method", "dipole.tkd")
    assert "tkd" in run(*options, "--list")
    assert not (tmp_path / "rows").exists()
    assert "1 cases, 0 without a result" in run(*options)
    assert (tmp_path / "index.html").exists()
    assert (tmp_path / "results.csv").exists()
    assert "1 cases, 0 without a result and 1 from before" in run(*options[:-1], "dipole.tsvd")
    with open(tmp_path / "results.csv", newline="") as f:
        assert sorted(row["method"] for row in csv.DictReader(f)) == ["tkd", "tsvd"]
    page = (tmp_path / "index.html").read_text()
    assert '"method":"tkd"' in page
    assert '"method":"tsvd"' in page


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("--method", "foo"), UnknownMethodError, "no stage has a method 'foo'"),
        (("--task", "dipole", "--method", "vsharp"), ParameterError, "nothing to run"),
        (("--repeats", "0"), ParameterError, "repeats = 0 is not valid"),
        (("--timeout", "-1"), ParameterError, r"timeout_s = -1\.0 is not valid"),
        (("--import", "nomodule"), ParameterError, "module 'nomodule' cannot be imported"),
        (("--plan", "PLAN"), FormatError, "not a plan in TOML"),
    ],
)
def test_wrong_options_are_refused_before_anything(tmp_path, words, error, said):
    """What a benchmark has left in the folder stays as it is."""
    (tmp_path / "plan").write_bytes(b"\x89\xff\xfe\x00")
    (tmp_path / "results.csv").write_text("mine")
    words = [str(tmp_path / "plan") if word == "PLAN" else word for word in words]
    result = CliRunner().invoke(command, ["-o", str(tmp_path), "--quick", *words])
    assert isinstance(result.exception, error), result.output
    with pytest.raises(error, match=said):
        raise result.exception
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan", "results.csv"]
    assert (tmp_path / "results.csv").read_text() == "mine"


def test_a_list_simulates_nothing(tmp_path):
    result = CliRunner().invoke(command, ["-o", str(tmp_path / "out"), "--list", "--task", "dipole"])
    assert result.exit_code == 0
    assert "tkd" in result.output
    assert not (tmp_path / "out").exists()


def test_output_on_a_file_is_one_line(tmp_path, data):
    (tmp_path / "file").write_text("mine")
    words = ["-o", tmp_path / "file", "--quick", "--phantom", data.folder, "--method", "tkd"]
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert isinstance(result.exception, InputError)
    assert "cannot be written" in str(result.exception)


def test_kept_rows_are_those_of_other_cases_and_present_methods(rows, tkd, tmp_path):
    """A row whose key is of an older source, of an older version or of a case that is run again is left out."""
    out, found = rows
    assert {row["key"] for row in kept_rows([], out)} == {row["key"] for row in found}
    again = Case(**(tkd.as_dict() | {"repeats": 3}))
    assert {row["key"] for row in kept_rows([again], out)} == {row["key"] for row in found[1:]}
    (tmp_path / "rows").mkdir()
    old = {name: value for name, value in found[0].items() if name != "case"}
    for name, row in (("old", old), ("changed", found[1] | {"key": "changed"}), ("right", found[2])):
        (tmp_path / "rows" / f"{name}.json").write_text(json.dumps(row))
    (tmp_path / "rows" / "half.part.json").write_text("{")
    assert kept_rows([], tmp_path) == [found[2]]


MINE = """
import numpy as np
from typing import Annotated, Any
from ferritin.registry import method
from ferritin.stages import Susceptibility

@method("dipole", source="a test")
def mine(local_field: Any, mask: Any, scan: Any, *, factor: Annotated[float, "1"] = 2.0) -> Susceptibility:
    return Susceptibility((factor / scan.hz_per_ppm * local_field * mask).astype(np.float32))
"""


def test_method_of_a_users_own_module(tmp_path, data):
    """A module outside the engine, named on the command line, in a process as `ferritin bench` runs it."""
    (tmp_path / "my_module.py").write_text(MINE)
    path = os.pathsep.join([str(tmp_path), *(p for p in sys.path if p)])
    words = ["-m", "ferritin.run.cli", "bench", "--import", "my_module", "-o", tmp_path / "out", "--quick", "--method"]
    words += ["mine", "--task", "dipole", "--phantom", data.folder]
    done = subprocess.run(
        [sys.executable, *map(str, words)], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "1 cases, 0 without a result" in done.stdout
    (file,) = (tmp_path / "out/rows").glob("*.npy")
    expected = 2 / data.hz_per_ppm * data.given("local_field") * data.mask
    np.testing.assert_allclose(np.load(file), expected, rtol=1e-5, atol=1e-7)


def test_tasks_speak_of_known_stages():
    from ferritin.stages import ARTIFACTS, STAGES

    for stages, target, given in TASKS.values():
        assert set(stages) <= set(STAGES)
        assert {target, *given} <= set(ARTIFACTS)
