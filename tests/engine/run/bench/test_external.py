"""Programs of others in the benchmark, and the engine as a submission to QSM-CI."""

import shutil
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from ferritin.errors import ParameterError
from ferritin.io.nifti import load_volume
from ferritin.run.bench.case import Case
from ferritin.run.bench.external import parse_external
from ferritin.run.bench.plan import QUICK, cases, changed
from ferritin.run.bench.run import run_cases
from ferritin.run.bench.submission import main as submission

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
    todo = cases(plan, [data.folder])
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
