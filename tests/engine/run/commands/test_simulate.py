"""The command `simulate`: options reach the protocol, files appear, wrong options are said in one line."""

import json

import pytest
from click.testing import CliRunner

from ferritin.errors import ParameterError
from ferritin.run.commands.evaluate import command as evaluate
from ferritin.run.commands.simulate import command as simulate


def run(command, *args, ok=True):
    result = CliRunner().invoke(command, [str(a) for a in args])
    if ok:
        assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("scan")
    said = run(
        simulate, out, "--voxel", 12, "--fine", 6, "--te-ms", 3, 6.5, 10, "--b0", 3, "--format", "bids", "--seed", 3,
        "--oblique", 10, "--snr", 80,
    )  # fmt: skip
    assert "3 echoes" in said.output
    told = [line.split(")")[0] for line in said.stderr.splitlines()]
    assert told == ["[1/3] head (3 T, cells of 6 mm", "[2/3] bids (3 echoes", "[3/3] truth (maps"]
    return out


def test_options_reach_the_scan(folder):
    meta = json.loads((folder / "truth/scan.json").read_text())
    assert meta["te_ms"] == [3, 6.5, 10]
    assert meta["b0_t"] == 3
    assert meta["protocol"]["tilt_deg"] == 10
    assert meta["voxel_mm"] == [12, 12, 12]
    assert sorted(p.name for p in (folder / "sub-01/anat").glob("*.nii.gz")) == sorted(
        f"sub-01_echo-{i}_part-{part}_MEGRE.nii.gz" for i in (1, 2, 3) for part in ("mag", "phase")
    )


def test_evaluate_reads_what_was_written(folder):
    chi, mask = folder / "truth/chi.nii.gz", folder / "truth/mask.nii.gz"
    table = run(evaluate, chi, chi, "--mask", mask).output
    assert "xsim_uniform5" in table
    said = json.loads(
        run(evaluate, chi, chi, "--mask", mask, "--labels", folder / "truth/labels.nii.gz", "--json").output
    )
    assert said["metrics"]["nrmse"] == 0
    assert said["regions"]["white_matter"]["voxels"] > 0
    doubled = json.loads(run(evaluate, chi, chi, "--mask", mask, "--scale", 2, "--json").output)
    assert doubled["metrics"]["nrmse"] == pytest.approx(100)


def test_wrong_options(folder, tmp_path):
    assert isinstance(run(simulate, tmp_path, "--te-ms", 20, 10, ok=False).exception, ParameterError)
    assert "not an acceleration" in run(simulate, tmp_path, "--accel", "fast", ok=False).output
    assert "expected one or three" in run(simulate, tmp_path, "--voxel", 1, 2, ok=False).output
    (tmp_path / "wrong.nii").write_text("no image")
    mask = folder / "truth/mask.nii.gz"
    result = run(evaluate, tmp_path / "wrong.nii", mask, "--mask", mask, ok=False)
    assert "is not a NIfTI file" in str(result.exception)
