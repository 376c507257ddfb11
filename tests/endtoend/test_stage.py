"""One stage from files to files: names, units, JSON, and errors."""

import json

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from ferritin.errors import FerritinError
from ferritin.run.cli import cli
from properties.fields import grid, scan_of, sphere_field

SCAN = scan_of((48, 48, 48))
X, Y, Z = grid(SCAN)
RADIUS = np.sqrt(X**2 + Y**2 + Z**2) + np.zeros(SCAN.shape, np.float32)


def save(folder, **arrays):
    for name, values in arrays.items():
        nib.save(nib.Nifti1Image(values, SCAN.affine), folder / f"{name}.nii.gz")
    return [f"--in={name}={folder / name}.nii.gz" for name in arrays]


def stage(*args):
    result = CliRunner().invoke(cli, ["stage", *map(str, args), "--device", "cpu"])
    if isinstance(result.exception, FerritinError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_dipole_inverts_the_field_of_a_sphere_in_hz_to_ppm(tmp_path):
    field = sphere_field(SCAN, 6.0, 0.5) * np.float32(SCAN.hz_per_ppm)
    files = save(tmp_path, local_field=field, mask=(RADIUS < 22).astype(np.uint8))
    said = json.loads(stage("dipole", "--method", "tkd", *files, "--b0", SCAN.b0_t, "--set", "threshold=0.1",
                            "-o", tmp_path / "out", "--json"))  # fmt: skip
    chi = nib.load(tmp_path / "out" / "chi.nii.gz").get_fdata()
    inside = chi[RADIUS < 4.5].mean() - chi[(RADIUS > 10) & (RADIUS < 20)].mean()
    assert inside == pytest.approx(0.5, rel=0.15)
    assert said["parameters"]["threshold"] == 0.1
    assert {"method", "seconds", "peak_bytes", "fft_count", "iterations", "residual", "stopped_by"} <= set(said)


def test_background_writes_the_local_field_and_its_mask(tmp_path):
    files = save(tmp_path, total_field=(3 * X * Y + Z).astype(np.float32), mask=(RADIUS < 20).astype(np.uint8))
    stage("background", "--method", "vsharp", *files, "--b0", 7, "-o", tmp_path / "out")
    mask = nib.load(tmp_path / "out" / "local_mask.nii.gz").get_fdata() > 0
    local = nib.load(tmp_path / "out" / "local_field.nii.gz").get_fdata()
    assert 0 < mask.sum() < (RADIUS < 20).sum()
    assert np.abs(local[mask]).max() < 0.01 * np.abs(3 * X * Y + Z)[mask].max()


def test_magnitude_and_phase_make_echoes(tmp_path):
    te = np.array([4, 12, 20, 28]) * 1e-3
    field = (20 * X / 48 + 5).astype(np.float32)
    signal = np.exp(-30 * te) * np.exp(2j * np.pi * field[..., None] * te + 0.4j)
    files = save(tmp_path, magnitude=np.abs(signal).astype(np.float32), phase=np.angle(signal).astype(np.float32),
                 mask=np.ones(SCAN.shape, np.uint8))  # fmt: skip
    echoes = ["--te-ms", 4, 12, 20, 28, "--b0", 7]
    stage("r2star", *files, *echoes, "-o", tmp_path / "out")
    assert nib.load(tmp_path / "out" / "r2star.nii.gz").get_fdata() == pytest.approx(30, rel=1e-3)
    stage("unwrap", *files, *echoes, "-o", tmp_path / "out")
    unwrapped = f"--in=unwrapped_phase={tmp_path / 'out' / 'unwrapped_phase.nii.gz'}"
    stage("field", "--method", "linear", *files, unwrapped, *echoes, "-o", tmp_path / "out")
    error = nib.load(tmp_path / "out" / "total_field.nii.gz").get_fdata() - field
    assert np.abs(error - np.median(error)).max() < 0.01


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["dipole", "--method", "tkd"], "needs mask; give --in mask=FILE"),
        (["dipole", "--method", "none"], "it has"),
        (["colour"], "the stages are"),
        (["dipole", "--method", "tkd", "--set", "threshold=high"], "not valid"),
    ],
)
def test_what_is_lacking_or_wrong_is_named(tmp_path, args, word):
    files = save(tmp_path, local_field=np.zeros(SCAN.shape, np.float32))
    with pytest.raises(FerritinError, match=word):
        stage(*args, *files, "--b0", 7, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_field_strength_must_be_known(tmp_path):
    files = save(tmp_path, local_field=np.zeros(SCAN.shape, np.float32), mask=np.ones(SCAN.shape, np.uint8))
    with pytest.raises(FerritinError, match=r"--b0"):
        stage("dipole", "--method", "tkd", *files, "-o", tmp_path / "out")
