"""Files in, files out: one grid, the names of the map of stages, echoes from single volumes, one line for bad input."""

import json
import os
from contextlib import contextmanager

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from ferritin.errors import InputError, ParameterError, ShapeError
from ferritin.run.cli import cli
from ferritin.run.progress import Progress
from ferritin.run.stage import run_stage

SHAPE = (24, 22, 20)
AFFINE = np.diag((2.0, 2.0, 2.0, 1.0))
AXES = np.meshgrid(*(np.arange(n) - n / 2 for n in SHAPE), indexing="ij")
BALL = sum(x**2 for x in AXES) < 81
FIELD = np.where(BALL, 3 * AXES[0] + AXES[2], 0).astype(np.float32)


def save(path, values, affine=AFFINE):
    values = values.astype(np.uint8) if values.dtype == bool else values
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def voxels(path):
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture
def given(tmp_path):
    return {
        "local_field": save(tmp_path / "field.nii.gz", FIELD),
        "mask": save(tmp_path / "mask.nii.gz", BALL),
    }


def tkd(files, out, **options):
    return run_stage("dipole", files, out, settings={"dipole": {"method": "tkd"}}, b0=3.0, device="cpu", **options)


@pytest.mark.parametrize("move", ["flip", "shift"])
def test_files_of_one_shape_that_lie_elsewhere_are_refused(tmp_path, given, move):
    affine = AFFINE.copy()
    if move == "flip":
        affine[0, 0], affine[0, 3] = -2.0, 2.0 * (SHAPE[0] - 1)
    else:
        affine[2, 3] = 40
    given["mask"] = save(tmp_path / "elsewhere.nii.gz", BALL, affine)
    with pytest.raises(ShapeError, match=r"elsewhere.nii.gz lies (46|40) mm from .*field.nii.gz by its affine"):
        tkd(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_affine_may_differ_by_its_rounding(tmp_path, given):
    given["mask"] = save(tmp_path / "near.nii.gz", BALL, AFFINE @ np.diag((1 + 1e-5, 1, 1, 1)))
    assert tkd(given, tmp_path / "out")["method"] == "tkd"


def test_another_shape_is_refused_with_both_files(tmp_path, given):
    given["mask"] = save(tmp_path / "small.nii.gz", BALL[1:])
    with pytest.raises(ShapeError, match=r"small.nii.gz has shape \(23, 22, 20\), .*field.nii.gz has \(24, 22, 20\)"):
        tkd(given, tmp_path / "out")


def test_outputs_are_named_by_their_artifact_and_the_input_mask_stays(tmp_path):
    save(tmp_path / "total.nii.gz", FIELD)
    before = save(tmp_path / "mask.nii.gz", BALL).read_bytes()
    files = {"total_field": tmp_path / "total.nii.gz", "mask": tmp_path / "mask.nii.gz"}
    settings = {"background": {"method": "vsharp"}}
    info = run_stage("background", files, tmp_path, settings=settings, b0=3.0, device="cpu")
    assert info["files"] == [str(tmp_path / f"{n}.nii.gz") for n in ("local_field", "local_mask")]
    assert 0 < voxels(tmp_path / "local_mask.nii.gz").sum() < BALL.sum()
    assert (tmp_path / "mask.nii.gz").read_bytes() == before
    assert not list(tmp_path.glob(".ferritin*"))


def test_every_map_has_a_sidecar_that_says_how_it_was_made(tmp_path, given):
    tkd(given, tmp_path / "out")
    said = json.loads((tmp_path / "out" / "chi.json").read_text())
    assert (said["Units"], said["Method"], said["MagneticFieldStrength"]) == ("ppm", "dipole.tkd", 3.0)
    assert said["Sources"] == [str(given["local_field"]), str(given["mask"])]
    assert said["Parameters"]["threshold"] > 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["chi.json", "chi.nii.gz"]


def test_an_output_that_is_an_input_is_refused_before_any_work(tmp_path, given, monkeypatch):
    (tmp_path / "w").mkdir()
    given["local_field"] = save(tmp_path / "w" / "chi.nii.gz", FIELD)
    monkeypatch.setattr("ferritin.run.stage.load_volume", lambda path: pytest.fail("work was done"))
    (tmp_path / "link").symlink_to(tmp_path / "w")
    for out in ("w", "link"):
        with pytest.raises(InputError, match=r"chi.nii.gz is an input and would be overwritten"):
            tkd(given, tmp_path / out)


def signal(te_ms):
    """Complex echoes (x, y, z, echo) of the field, bright in the ball."""
    turns = FIELD[..., None] * np.array(te_ms) * 1e-3
    return (100 * (0.05 + BALL[..., None]) * np.exp(2j * np.pi * turns)).astype(np.complex64)


def test_a_single_volume_is_one_echo(tmp_path):
    echo = signal([4])[..., 0]
    files = {"magnitude": save(tmp_path / "echo-1.nii.gz", np.abs(echo))}
    run_stage("mask", files, tmp_path / "m", settings={"mask": {"method": "bet"}}, te_ms=[4], device="cpu")
    found = voxels(tmp_path / "m" / "mask.nii.gz") > 0
    assert 2 * (found & BALL).sum() / (found.sum() + BALL.sum()) > 0.9
    files |= {"phase": save(tmp_path / "phase.nii.gz", np.angle(echo)), "mask": tmp_path / "m" / "mask.nii.gz"}
    run_stage("unwrap", files, tmp_path / "u", te_ms=[4], b0=3.0, device="cpu", phase_scaling="rad")
    unwrapped = voxels(tmp_path / "u" / "unwrapped_phase.nii.gz").reshape(SHAPE)
    off = (unwrapped - 2 * np.pi * 4e-3 * FIELD)[found & BALL]
    np.testing.assert_allclose(off, np.median(off), atol=1e-3)


@pytest.mark.parametrize("n_echoes", [1, 3])
def test_magnitude_and_phase_of_other_echoes_are_refused(tmp_path, n_echoes):
    echoes = signal([4, 12])
    files = {
        "magnitude": save(tmp_path / "m.nii.gz", np.abs(signal([4, 12, 20][:n_echoes]))),
        "phase": save(tmp_path / "p.nii.gz", np.angle(echoes)),
    }
    with pytest.raises(ShapeError, match=rf"m.nii.gz holds {n_echoes} echoes, .*p.nii.gz holds 2"):
        run_stage("mask", files, tmp_path / "out", te_ms=[4, 12], device="cpu", phase_scaling="rad")


@pytest.mark.parametrize(
    ("name", "values", "word"),
    [
        ("mask", np.zeros(SHAPE, bool), r"the mask is empty \(0 of 10560"),
        ("mask", np.full(SHAPE, np.nan, np.float32), "the mask is empty"),
        ("mask", np.ones((*SHAPE, 2), np.uint8), "holds 2 volumes, expected one"),
        ("local_field", np.full(SHAPE, np.nan, np.float32), "no finite value inside the mask"),
        ("local_field", np.where(BALL, np.nan, np.float32(1)), "no finite value inside the mask"),
        ("local_field", FIELD.astype(np.complex64), "holds complex numbers"),
    ],
)
def test_files_without_content_are_refused(tmp_path, given, name, values, word):
    save(given[name], values)
    with pytest.raises(InputError, match=word):
        tkd(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_image_is_refused(tmp_path, given):
    with pytest.raises(InputError, match=r"none.nii.gz is not there; expected a NIfTI file"):
        tkd(given | {"mask": tmp_path / "none.nii.gz"}, tmp_path / "out")
    with pytest.raises(InputError, match=r"is a folder; expected a NIfTI file"):
        tkd(given | {"mask": tmp_path}, tmp_path / "out")
    several = {name: [tmp_path / "none.nii.gz"] * 2 for name in ("local_field", "mask", "magnitude")}
    with pytest.raises(InputError, match=r"none.nii.gz is not there; expected a NIfTI file"):
        run_stage("orientations", several, tmp_path / "out", b0=3.0)
    with pytest.raises(ParameterError, match="no such artifact"):
        tkd(given | {"raw": given["mask"]}, tmp_path / "out")
    (tmp_path / "b.txt").write_text("0 0 1\n")
    with pytest.raises(InputError, match="names no image"):
        run_stage("orientations", {"b0_dirs": tmp_path / "b.txt"}, tmp_path / "out", b0=3.0)


def test_a_place_that_cannot_be_written_is_refused(tmp_path, given, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="file is a file, expected a folder"):
            tkd(given, out)
    assert (tmp_path / "file").read_text() == "mine"
    with monkeypatch.context() as patch:  # a superuser may write everywhere, so that chmod would prove nothing
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(InputError, match=r"cannot be written to \(no permission\)"):
            tkd(given, tmp_path / "out" / "deep")
    assert not (tmp_path / "out").exists()


def test_a_write_that_fails_leaves_no_file(tmp_path, given, monkeypatch):
    (tmp_path / "out" / "chi.nii.gz").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot be written into \(Is a directory\)"):
        tkd(given, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["chi.nii.gz"]


def test_progress_reaches_the_method(tmp_path, given):
    told = []

    class Told(Progress):
        @contextmanager
        def stage(self, stage, method):
            told.append((stage, method))
            yield lambda i, n: told.append((i, n))

    settings = {"dipole": {"method": "tv", "iterations": "3"}}
    run_stage("dipole", given, tmp_path / "out", settings=settings, b0=3.0, device="cpu", progress=Told())
    assert told[0] == ("dipole", "tv")
    assert (1, 3) in told


def test_the_command_tells_its_progress_on_standard_error(tmp_path, given):
    inputs = [f"--in={name}={path}" for name, path in given.items()]
    args = ["stage", "dipole", "--method", "tkd", *inputs, "--b0", "3", "-o", str(tmp_path / "out")]
    plain = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert plain.stderr.startswith("[1/1] dipole (tkd) ")
    assert plain.stdout.startswith("dipole (tkd): ")
    as_json = CliRunner().invoke(cli, [*args, "--json"], catch_exceptions=False)
    assert as_json.stderr == ""
    assert json.loads(as_json.stdout)["files"] == [str(tmp_path / "out" / "chi.nii.gz")]
