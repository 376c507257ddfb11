"""Sources through the commands: from a raw scan by recon, and from files by the stages r2prime and sources."""

import json

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from ferritin.errors import FerritinError
from ferritin.phantom import Protocol, simulate
from ferritin.run.cli import cli


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    simulate(folder, Protocol(voxel_mm=(4.0, 4.0, 4.0), b0_t=3.0), seed=1)
    return folder


def call(*args):
    result = CliRunner().invoke(cli, [*map(str, args), "--device", "cpu"])
    if isinstance(result.exception, FerritinError):
        raise result.exception
    assert result.exit_code in (0, 3), result.output
    return result.output


def volume(path):
    return np.asarray(nib.load(path).dataobj)


def test_recon_writes_both_sources_beside_the_maps(scan, tmp_path):
    call("recon", scan / "raw.h5", "-o", tmp_path, "--separate", "--set", "field.method=linear")
    anat = tmp_path / "sub-01" / "anat"
    positive, negative = (volume(anat / f"sub-01_desc-{n}magnetic_Chimap.nii.gz") for n in ("para", "dia"))
    assert positive.min() >= 0 >= negative.max()
    mask = volume(scan / "truth" / "mask.nii.gz") > 0
    assert 0 < np.median(positive[mask & (positive > 0)]) < 0.2
    labels = volume(scan / "truth" / "labels.nii.gz")
    pallidum, white_matter = ((labels == i) & mask for i in (2, 8))
    assert positive[pallidum].mean() > 2 * positive[white_matter].mean()
    said = json.loads((anat / "sub-01_desc-paramagnetic_Chimap.json").read_text())
    assert said["Units"] == "ppm"
    assert said["Method"].startswith("sources.")
    assert any("R2starmap" in source for source in said["Sources"])
    assert (anat / "sub-01_Chimap.nii.gz").exists()
    assert "Paramagnetic" in (tmp_path / "sub-01" / "sub-01_report.html").read_text()


def test_stages_take_r2_apart_from_r2star_and_sources_from_chi(scan, tmp_path):
    truth = {n: scan / "truth" / f"{n}.nii.gz" for n in ("r2star", "r2", "chi", "mask")}
    files = [f"--in={n}={truth[n]}" for n in ("r2star", "r2", "mask")]
    call("stage", "r2prime", *files, "-o", tmp_path)
    r2prime = volume(tmp_path / "r2prime.nii.gz")
    expected = np.maximum(volume(truth["r2star"]) - volume(truth["r2"]), 0)
    np.testing.assert_allclose(r2prime, expected, atol=1e-4)
    files = [f"--in={n}={truth[n]}" for n in ("chi", "mask")]
    run = ["stage", "sources", "--method", "closed_form", *files, f"--in=r2prime={tmp_path}/r2prime.nii.gz"]
    said = json.loads(call(*run, "--b0", 3, "-o", tmp_path, "--json"))
    assert said["notes"][0] == "relaxivity 137 and 137 Hz/ppm"
    positive, negative = (volume(tmp_path / f"chi_{n}.nii.gz") for n in ("positive", "negative"))
    assert positive.min() >= 0 >= negative.max()
    inner = (positive > 0) & (negative < 0)
    np.testing.assert_allclose((137 * (positive - negative))[inner], r2prime[inner], rtol=1e-3)
    with pytest.raises(FerritinError, match="needs r2prime"):
        call("stage", "sources", "--method", "joint", *files, f"--in=local_field={truth['chi']}", "-o", tmp_path)
