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

from ferritin.errors import FormatError, InputError, ParameterError
from ferritin.io.nifti import load_volume
from ferritin.metrics import evaluate
from ferritin.phantom import Protocol
from ferritin.run.bench.case import TASKS, Case
from ferritin.run.bench.dataset import Dataset, make_dataset
from ferritin.run.bench.external import parse_external
from ferritin.run.bench.page import write_page
from ferritin.run.bench.plan import FULL, QUICK, cases, changed, load_plan
from ferritin.run.bench.run import COLUMNS, run_cases, write_table
from ferritin.run.bench.submission import main as submission
from ferritin.run.commands.bench import command
from ferritin.stages import STAGES


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    protocol = Protocol(voxel_mm=(8.0,) * 3, te_ms=(4.0, 12.0, 20.0), fine_mm=4.0, snr=100)
    return make_dataset(tmp_path_factory.mktemp("data") / "coarse", protocol, calcification=True)


@pytest.fixture(scope="module")
def tkd(data):
    return Case("dipole", {"dipole": {"method": "tkd"}}, str(data.folder))


@pytest.fixture(scope="module")
def rows(data, tkd, tmp_path_factory):
    """Rows of several kinds, in a folder with their maps."""
    out = tmp_path_factory.mktemp("bench")
    swept = [Case("dipole", {"dipole": {"method": "tkd", "threshold": t}}, str(data.folder)) for t in (0.05, 0.4, 99.0)]
    return out, run_cases([tkd, *swept, Case("background", {}, str(data.folder))], out, 120)


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

    todo = cases(QUICK, [data])
    for task, stage in (("dipole", "dipole"), ("background", "background"), ("r2star", "r2star")):
        there = {m.name for m in methods(stage) if stage != "dipole" or "local_field" in m.consumes}
        assert {c.method for c in todo if c.task == task} == there
    assert {c.method.split("+")[-1] for c in todo if c.task == "field"} == {m.name for m in methods("field")}
    single = {m.name for m in methods("dipole") if "local_field" not in m.consumes}
    assert single <= {c.method for c in todo if c.task == "background+dipole"}
    assert any(c.task == "chain" for c in todo)
    assert all(not c.parameters for c in todo)


def test_sweep_is_around_the_default(data):
    todo = cases(changed(FULL, {"only": ("tkd",), "tasks": ("dipole",)}), [data])
    thresholds = [c.parameters["threshold"] for c in todo if c.parameters]
    assert len(todo) == 1 + len(thresholds)
    assert min(thresholds) < 0.15 < max(thresholds)


def test_plan_from_a_file(tmp_path, data):
    path = tmp_path / "plan.toml"
    path.write_text('tasks = ["dipole"]\nonly = ["tkd"]\nrepeats = 2\n[sweeps."dipole.tkd"]\nthreshold = [0.1, 0.2]\n')
    plan = load_plan(path)
    assert [c.parameters for c in cases(plan, [data])] == [{}, {"threshold": 0.1}, {"threshold": 0.2}]
    path.write_text("colour = 1")
    with pytest.raises(ParameterError, match="no 'colour'"):
        load_plan(path)
    path.write_text("tasks = [")
    with pytest.raises(FormatError, match="TOML"):
        load_plan(path)
    with pytest.raises(ParameterError, match="task 'dipoles'"):
        cases(changed(FULL, {"tasks": ("dipoles",)}), [data])


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


# ---- other programs ------------------------------------------------------------------------------------------------

PROGRAM = """
import sys, json, nibabel, numpy as np
field, mask, params, out = sys.argv[1:]
f = nibabel.load(field)
assert json.load(open(params))["TE"][0] == 0.004
inside = np.asarray(nibabel.load(mask).dataobj) > 0
nibabel.save(nibabel.Nifti1Image(3 * np.asarray(f.dataobj) * inside, f.affine), out)
"""


def test_external_program(tmp_path, data):
    """A program that multiplies the field [ppm] by three takes part in the table."""
    script = tmp_path / "three.py"
    script.write_text(PROGRAM)
    line = f"three:dipole:{sys.executable} {script} {{localfield}} {{mask}} {{params}} {{chimap}}"
    plan = changed(QUICK, {"only": ("tkd",), "tasks": ("dipole",), "external": (line,)})
    todo = cases(plan, [data])
    assert [c.method for c in todo] == ["tkd", "three"]
    row = run_cases(todo[1:], tmp_path / "out", 60)[0]
    assert row["status"] == "ok"
    made = np.load(tmp_path / "out" / "rows" / f"{row['key']}.npy")
    np.testing.assert_allclose(made, 3 * data.given("local_field") / data.hz_per_ppm * data.mask, atol=1e-6)


@pytest.mark.parametrize(
    ("command_line", "said"),
    [
        ("no-such-program {localfield} {chimap}", "is not there"),
        ("false", "exit status 1"),
        ("true", "wrote no chimap.nii.gz"),
        ("cp {nonsense} {chimap}", "no name of a file"),
    ],
)
def test_external_program_that_fails_says_why(tmp_path, data, command_line, said):
    case = Case("dipole", {}, str(data.folder), external=command_line, name="other")
    assert said in run_cases([case], tmp_path, 60)[0]["status"]


def test_engine_as_a_submission(tmp_path, data):
    """Mounted input in, artifact out in ppm, as the contract says; the same map as by the benchmark."""
    source = tmp_path / "mounted"
    source.mkdir()
    for name in ("mask.nii.gz", "params.json"):
        shutil.copy(data.folder / "input" / name, source)
    shutil.copy(data.folder / "isolated/localfield.nii.gz", source)
    result = CliRunner().invoke(
        submission, [str(source), str(tmp_path / "out"), "--task", "dipole", "--set", "dipole.method=tkd"]
    )
    assert result.exit_code == 0, result.output
    made, affine = load_volume(tmp_path / "out/chimap.nii.gz")
    from ferritin import dipole

    expected = dipole.tkd(data.given("local_field"), data.mask, data.scan()).chi
    np.testing.assert_allclose(made, expected, atol=1e-6)
    np.testing.assert_allclose(affine, data.affine, atol=1e-5)


def test_external_option():
    assert parse_external("a:dipole:x y:z") == ("a", "dipole", "x y:z")
    for wrong in ("a", "a:dipole", "a:inversion:x", ":dipole:x"):
        with pytest.raises(ParameterError, match="NAME:TASK:COMMAND"):
            parse_external(wrong)


# ---- page and command ----------------------------------------------------------------------------------------------


def test_page_in_a_browser(rows, tmp_path):
    """No error in the console; the table sorts, the plots are drawn, the pictures are there."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium; apt-get install chromium")
    out, found = rows
    page = tmp_path / "index.html"
    write_page(page, found, out)
    act = """<script>const complaints = [];
      addEventListener("error", (e) => complaints.push(e.message));
      addEventListener("load", () => {
        const all = (what) => document.querySelectorAll(what);
        const count = (what) => all(what).length;
        const first = () => document.querySelector("#task-dipole tbody tr").textContent;
        all(".choices input")[0].click();
        const before = first();
        [...all("#task-dipole th button")].find((b) => b.textContent === "NRMSE").click();
        const after = first();
        const drawing = () => document.querySelector("#task-dipole .plot").outerHTML;
        const overTime = drawing();
        const choose = (i, value) => {
          all(".choices select")[i].value = value;
          all(".choices select")[i].dispatchEvent(new Event("change"));
        };
        choose(2, "fft_count");
        const overFfts = drawing();
        choose(3, "xsim_uniform5");
        document.title = JSON.stringify({errors: complaints, turned: before !== after, redrawn: overTime !== overFfts,
          scales: document.querySelector("#task-dipole .scales").textContent,
          dots: count("#task-dipole .plot .dot"), sweeps: count(".small"), cards: count(".card"),
          pictures: count(".card img"), lines: count("#task-dipole tbody tr")});
      });</script>"""
    page.write_text(page.read_text().replace("<body>", "<body>" + act))
    options = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "dump-dom")
    options += (f"user-data-dir={tmp_path / 'profile'}", "virtual-time-budget=5000", "enable-logging=stderr")
    done = subprocess.run(
        [browser, *(f"--{o}" for o in options), page.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    said = json.loads(title.replace("&quot;", '"'))
    assert said["errors"] == []
    assert said["turned"]
    assert said["redrawn"]
    assert said["scales"].count("ppm") == 2
    assert said["dots"] == 3
    assert said["lines"] == 4
    assert said["sweeps"] == 1
    assert said["cards"] == 4  # the truth and one method, twice
    assert said["pictures"] == 2 * (2 + 2 + 4)  # views and colour scales of the truth, views and differences


def test_page_says_nothing_that_html_could_misread(rows, tmp_path):
    out, found = rows
    row = found[0] | {"method": "</script><b>&", "key": "none"}
    write_page(tmp_path / "p.html", [row], out)
    assert "</script><b>" not in (tmp_path / "p.html").read_text()


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
