"""The whole path on a small simulated raw scan: maps close to the truth, reuse, partial runs, exit statuses."""

import json

import nibabel as nib
import numpy as np
import pytest
import scipy.ndimage as ndi
from click.testing import CliRunner

import ferritin as ft
from ferritin.errors import FerritinError
from ferritin.phantom import Protocol, simulate
from ferritin.run.cli import cli


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    simulate(folder, Protocol(voxel_mm=(3.0, 3.0, 3.0)), seed=1)
    return folder


@pytest.fixture(scope="module")
def out(scan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recon") / "out"
    recon(scan / "raw.h5", "-o", folder)
    return folder


def recon(*args):
    result = CliRunner().invoke(cli, ["recon", *map(str, args), "--device", "cpu"], catch_exceptions=True)
    if isinstance(result.exception, FerritinError):
        raise result.exception
    assert result.exit_code in (0, 3), result.output
    return result.output


def volume(path):
    return np.asarray(nib.load(path).dataobj)


def said(out):
    return json.loads((out / "sub-01" / "sub-01_recon.json").read_text())


def test_maps_are_close_to_the_truth(scan, out):
    anat, truth = out / "sub-01" / "anat", scan / "truth"
    inside = ndi.binary_erosion(volume(truth / "mask.nii.gz") > 0, iterations=1)
    chi = volume(anat / "sub-01_Chimap.nii.gz")[inside]
    assert np.corrcoef(chi, volume(truth / "chi.nii.gz")[inside])[0, 1] > 0.6
    r2star = volume(anat / "sub-01_R2starmap.nii.gz")[inside]
    assert np.median(r2star / np.maximum(volume(truth / "r2star.nii.gz")[inside], 1)) == pytest.approx(1, abs=0.06)
    hz_per_ppm = json.loads((truth / "scan.json").read_text())["hz_per_ppm"]
    error = (
        volume(anat / "sub-01_desc-total_fieldmap.nii.gz")[inside]
        - hz_per_ppm * volume(truth / "total_field.nii.gz")[inside]
    )
    assert np.median(np.abs(error - np.median(error))) < 1.5


@pytest.mark.gpu
def test_a_gpu_makes_the_same_maps(scan, cupy):
    host, there = (ft.reconstruct(ft.read(scan / "raw.h5"), device=device).artifacts for device in ("cpu", "cuda"))
    for name in ("total_field", "field_noise", "r2star", "local_field", "chi"):
        assert isinstance(there[name], np.ndarray)
        off = np.percentile(np.abs(there[name] - host[name]), 99.9)
        assert off < 1e-3 * np.percentile(np.abs(host[name]), 99), name
    assert np.mean(there["mask"] != host["mask"]) < 1e-4


def test_the_affine_is_the_simulators(scan, out):
    ours = nib.load(out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").affine
    assert ours == pytest.approx(nib.load(scan / "truth" / "chi.nii.gz").affine, abs=1e-3)


def test_the_record_holds_every_stage_with_its_cost(out):
    stages = {info["stage"]: info for info in said(out)["stages"]}
    assert list(stages)[:3] == ["image", "coils", "mask"]
    assert all(info["seconds"] > 0 and info["peak_bytes"] > 0 for info in stages.values())
    assert stages["dipole"]["fft_count"] > 0


def test_a_second_run_reuses_everything(scan, out):
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.nii.gz")}
    assert "nothing to do" in recon(scan / "raw.h5", "-o", out)
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*.nii.gz")}


def test_another_inversion_reuses_all_before_it(scan, out, tmp_path):
    import shutil

    shutil.copytree(out, tmp_path / "out")
    recon(scan / "raw.h5", "-o", tmp_path / "out", "--set", "dipole.method=tkd")
    computed = [info["stage"] for info in said(tmp_path / "out")["stages"] if not info["reused"]]
    assert computed == ["dipole"]


def test_what_is_reused_keeps_its_record(scan, out, tmp_path):
    """Method, cost and findings of a stage stay with it, also of those whose products were not written."""
    import shutil

    shutil.copytree(out, tmp_path / "out")
    recon(scan / "raw.h5", "-o", tmp_path / "out", "--set", "dipole.method=tkd")
    first, second = ({info["stage"]: info for info in said(folder)["stages"]} for folder in (out, tmp_path / "out"))
    assert list(first) == list(second)
    for stage in set(first) - {"dipole"}:
        assert second[stage] == first[stage] | {"reused": True}
    anat = [folder / "sub-01" / "anat" / "sub-01_desc-total_fieldmap.json" for folder in (out, tmp_path / "out")]
    assert json.loads(anat[0].read_text()) == json.loads(anat[1].read_text())


def test_what_a_smaller_run_leaves_alone_stays_listed(scan, out, tmp_path):
    import shutil

    shutil.copytree(out, tmp_path / "out")
    recon(scan / "raw.h5", "-o", tmp_path / "out", "--until", "r2star", "--set", "mask.method=signal")
    assert set(said(out)["files"]) <= set(said(tmp_path / "out")["files"])
    stages = {info["stage"]: info for info in said(tmp_path / "out")["stages"]}
    assert stages["mask"]["method"] == "signal"
    before = next(info for info in said(out)["stages"] if info["stage"] == "dipole")
    assert stages["dipole"] == before | {"reused": True}


def test_maps_of_another_scan_are_not_overwritten(scan, out, tmp_path):
    import shutil

    shutil.copytree(out, tmp_path / "out")
    other = tmp_path / "other.h5"
    other.write_bytes((scan / "raw.h5").read_bytes() + b"\0")
    with pytest.raises(FerritinError, match=r"holds the maps of other data \(raw\.h5, .*; the input is other\.h5"):
        recon(other, "-o", tmp_path / "out")
    assert said(tmp_path / "out") == said(out)


def test_until_makes_only_what_is_needed(scan, tmp_path):
    recon(scan / "raw.h5", "-o", tmp_path / "out", "--until", "r2star")
    names = {p.name for p in (tmp_path / "out").rglob("*.nii.gz")}
    assert "sub-01_R2starmap.nii.gz" in names
    assert "sub-01_Chimap.nii.gz" not in names
    assert {v["name"] for v in said(tmp_path / "out")["verdicts"]} >= {"mask volume", "R2* range", "R2* precision"}
    r2star = json.loads((tmp_path / "out" / "sub-01" / "anat" / "sub-01_R2starmap.json").read_text())
    assert not any("field" in source for source in r2star["Sources"])  # made later, if at all


def test_r2star_can_be_corrected_for_the_gradient_of_the_field(scan, tmp_path):
    recon(scan / "raw.h5", "-o", tmp_path / "out", "--until", "r2star", "--set", "r2star.gradient=box")
    stages = {info["stage"]: info for info in said(tmp_path / "out")["stages"]}
    assert "field" in stages
    assert "total_field" in stages["r2star"]["inputs"]


def test_an_outside_mask_takes_the_place_of_ours(scan, tmp_path):
    recon(scan / "raw.h5", "-o", tmp_path / "out", "--mask", scan / "truth" / "mask.nii.gz", "--until", "r2star")
    used = volume(tmp_path / "out" / "sub-01" / "anat" / "sub-01_R2starmap.nii.gz") > 0
    truth = volume(scan / "truth" / "mask.nii.gz") > 0
    assert (used & ~truth).sum() == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--set", "dipole.method=magic"], "magic"),
        (["--memory", "10MB"], "--memory allows"),
        (["--until", "nothing"], "neither a stage"),
        (["--polarity", "+-"], "polarity"),
        (["--start-from", "dipole"], "run once without it"),
        (["--te-ms", "0.004", "0.012"], "look like seconds"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(scan, tmp_path, options, word):
    with pytest.raises(FerritinError, match=word):
        recon(scan / "raw.h5", "-o", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["empty", "from right to left", "smaller"])
def test_a_mask_that_does_not_fit_is_refused(scan, tmp_path, wrong):
    mask = nib.load(scan / "truth" / "mask.nii.gz")
    values, affine, word = np.asarray(mask.dataobj), mask.affine.copy(), r"mask\.nii\.gz has shape .*raw\.h5 has"
    if wrong == "empty":
        values, word = np.zeros_like(values), r"mask\.nii\.gz: the mask is empty"
    elif wrong == "smaller":
        values = values[1:]
    else:
        affine[:3, 3] += affine[:3, 0] * (values.shape[0] - 1)
        affine[:3, 0] *= -1
        word = r"mask\.nii\.gz lies \d+ mm from .*raw\.h5 by its affine"
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "mask.nii.gz")
    with pytest.raises(FerritinError, match=word):
        recon(scan / "raw.h5", "-o", tmp_path / "out", "--mask", tmp_path / "mask.nii.gz")
    assert not (tmp_path / "out").exists()
