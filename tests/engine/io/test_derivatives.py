"""The derivatives folder: names, sidecars, and nothing half-done."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from ferritin.errors import InputError
from ferritin.io.derivatives import Derivatives
from ferritin.run.info import StageInfo
from ferritin.scan import Finding, Scan
from ferritin.stages import Record

SHAPE = (8, 9, 7)
RNG = np.random.default_rng(0)
AFFINE = np.array([[-0.7, 0, 0, 30], [0, 0.7, 0, -40], [0, 0, 1.5, -20], [0, 0, 0, 1.0]])


def make_scan(n_echoes=3, **provenance):
    said = {"file": "raw head.h5", "sha256": "ab12"} | provenance
    findings = Finding("navigator lines", "left out"), Finding("noise scan", "used", "info")
    te = [0.004 * (i + 1) for i in range(n_echoes)]
    return Scan(te, 7.0, AFFINE, SHAPE, provenance=said, findings=findings)


def make_maps(scan, *names):
    def array(name):
        if name == "echoes":
            values = RNG.normal(size=(scan.n_echoes, *SHAPE)) + 1j * RNG.normal(size=(scan.n_echoes, *SHAPE))
            return values.astype(np.complex64)
        return np.ones(SHAPE, bool) if name.endswith("mask") else RNG.normal(size=SHAPE).astype(np.float32)

    stages = (
        StageInfo("mask", "signal", "source", seconds=0.1),
        StageInfo("background", "vsharp", "Wu 2012", {"radius_mm": 12.0}, 0.2),
        StageInfo("dipole", "tv", "Bilgic 2014", {"lambda": 5e-4, "reference": "mean"}, 1.5, 10**8, 42.0,
                  Record(37, 1e-3, "tolerance", ("a note",)), inputs=("local_field", "local_mask")),
    )  # fmt: skip
    missing = {"r1": "one flip angle"}
    return SimpleNamespace(scan=scan, artifacts={n: array(n) for n in names}, stages=stages, missing=missing)


def write(out, maps, subject="01"):
    with Derivatives(out, subject).writing() as writer:
        paths = writer.maps(maps)
        report = writer.report(lambda path: path.write_text("<html>"))
        record = writer.record(maps, [SimpleNamespace(as_dict=lambda: {"name": "finite", "level": "ok"})])
    return paths, report, record


def said(path):
    return json.loads(path.read_text())


def test_names_values_and_geometry(tmp_path):
    maps = make_maps(make_scan(), "chi", "mask", "local_mask", "local_field", "r2star", "s0", "noise_sd")
    paths, report, record = write(tmp_path / "a" / "out", maps)
    anat = tmp_path / "a" / "out" / "sub-01" / "anat"
    assert {p.name.removeprefix("sub-01_").removesuffix(".nii.gz") for p in paths} == {
        "Chimap", "desc-brain_mask", "desc-local_mask", "desc-local_fieldmap", "R2starmap", "S0map", "T2starmap"
    }  # fmt: skip
    image = nib.load(anat / "sub-01_Chimap.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), maps.artifacts["chi"])
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)
    assert report == anat.parent / "sub-01_report.html"
    assert report.exists()
    assert record.exists()
    assert all(p.with_name(p.name.replace(".nii.gz", ".json")).exists() for p in paths)
    assert not list(tmp_path.rglob(".ferritin*"))


def test_a_sidecar_says_unit_method_parameters_sources_and_input(tmp_path):
    write(tmp_path, make_maps(make_scan(), "chi", "local_field", "local_mask", "mask"))
    chi = said(tmp_path / "sub-01" / "anat" / "sub-01_Chimap.json")
    assert chi["Units"] == "ppm"
    assert chi["Method"] == "dipole.tv"
    assert chi["Parameters"] == {"lambda": 5e-4, "reference": "mean"}
    assert chi["Reference"] == "mean over the mask is zero"
    assert (chi["Iterations"], chi["StoppedBy"], chi["Notes"]) == (37, "tolerance", ["a note"])
    assert chi["InputHash"] == {"sha256": "ab12"}
    assert {"ferritin", "numpy", "scipy", "python"} <= set(chi["Versions"])
    assert chi["MagneticFieldStrength"] == 7
    assert chi["EchoTimes"] == pytest.approx([0.004, 0.008, 0.012])
    local = "bids::sub-01/anat/sub-01_desc-local"
    assert chi["Sources"] == [f"{local}_fieldmap.nii.gz", f"{local}_mask.nii.gz"]
    assert said(tmp_path / "sub-01" / "anat" / "sub-01_desc-local_mask.json")["Method"] == "background.vsharp"
    assert said(tmp_path / "sub-01" / "anat" / "sub-01_desc-brain_mask.json")["Method"] == "mask.signal"


def test_a_mask_from_outside_is_said_to_be_given(tmp_path):
    maps = make_maps(make_scan(), "mask")
    maps.stages = ()
    write(tmp_path, maps)
    assert "given" in said(tmp_path / "sub-01" / "anat" / "sub-01_desc-brain_mask.json")["Method"]


def test_t2star_is_one_over_r2star_and_bounded(tmp_path):
    maps = make_maps(make_scan(), "r2star")
    r2star = maps.artifacts["r2star"]
    r2star[:] = np.abs(r2star) * 20 + 1
    r2star[0], r2star[1] = 0, 1e-6
    write(tmp_path, maps)
    anat = tmp_path / "sub-01" / "anat"
    t2star = np.asarray(nib.load(anat / "sub-01_T2starmap.nii.gz").dataobj)
    np.testing.assert_allclose(t2star[2:], 1 / r2star[2:], rtol=1e-6)
    assert (t2star[0] == 0).all()
    assert (t2star[1] == 10).all()
    assert said(anat / "sub-01_T2starmap.json")["Units"] == "s"


def test_a_decay_too_slow_to_see_is_the_longest_t2star(tmp_path):
    """A fit may end at R2* = 0: its standard error tells it from a voxel that was not fitted."""
    maps = make_maps(make_scan(), "r2star", "r2star_se")
    maps.artifacts["r2star"][:] = 0
    error = maps.artifacts["r2star_se"]
    error[0], error[1], error[2:] = 0, 1.5, np.nan
    write(tmp_path, maps)
    t2star = np.asarray(nib.load(tmp_path / "sub-01" / "anat" / "sub-01_T2starmap.nii.gz").dataobj)
    assert (t2star[0] == 0).all()
    assert (t2star[1:] == 10).all()


@pytest.mark.parametrize(("n", "name"), [(1, "part-{}_T2starw"), (2, "echo-2_part-{}_MEGRE")])
def test_echoes_become_magnitude_and_phase(tmp_path, n, name):
    maps = make_maps(make_scan(n), "echoes")
    paths, _, _ = write(tmp_path, maps)
    assert len(paths) == 2 * n
    anat = tmp_path / "sub-01" / "anat"
    for part, function, unit in (("mag", np.abs, "arbitrary"), ("phase", np.angle, "rad")):
        image = nib.load(anat / f"sub-01_{name.format(part)}.nii.gz")
        np.testing.assert_allclose(np.asarray(image.dataobj), function(maps.artifacts["echoes"][-1]), rtol=1e-6)
        sidecar = said(anat / f"sub-01_{name.format(part)}.json")
        assert sidecar["Units"] == unit
        assert sidecar["EchoTime"] == pytest.approx(0.004 * n)


def test_the_record_tells_the_run(tmp_path):
    _, _, record = write(tmp_path, make_maps(make_scan(), "chi"))
    run = said(record)
    assert run["stages"][2]["stage"] == "dipole"
    assert run["stages"][2]["seconds"] == 1.5
    assert run["stages"][2]["iterations"] == 37
    assert run["missing"] == {"r1": "one flip angle"}
    assert run["warnings"] == ["navigator lines; left out"]
    assert run["verdicts"] == [{"name": "finite", "level": "ok"}]
    assert run["input"]["file"] == "raw head.h5"
    assert run["files"] == {"chi": "anat/sub-01_Chimap.nii.gz"}


def test_the_record_names_every_image(tmp_path):
    paths, _, record = write(tmp_path, make_maps(make_scan(2), "chi", "r2star", "mask", "echoes"))
    assert {record.parent / name for name in said(record)["files"].values()} == set(paths)


def test_subjects_share_a_dataset(tmp_path):
    write(tmp_path, make_maps(make_scan(), "chi"))
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".bidsignore").write_text("mine/\n")
    write(tmp_path, make_maps(make_scan(file="b.h5"), "chi"), "02")
    description = said(tmp_path / "dataset_description.json")
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "ferritin"
    assert description["SourceDatasets"] == [{"URL": "file:raw%20head.h5"}, {"URL": "file:b.h5"}]
    assert (tmp_path / "README.md").read_text() == "mine"
    assert "mine/" in (tmp_path / ".bidsignore").read_text().splitlines()
    assert {p.name for p in tmp_path.glob("sub-*")} == {"sub-01", "sub-02"}


@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path, exists):
    out = tmp_path / "deep" / "out"
    maps = make_maps(make_scan(), "chi")
    if exists:
        write(out, maps)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def fail(path):
        path.write_text("<html>")
        raise RuntimeError("no")

    maps.artifacts["chi"] = maps.artifacts["chi"] + 1
    with pytest.raises(RuntimeError), Derivatives(out, "01").writing() as writer:
        _ = writer.maps(maps), writer.report(fail)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert out.parent.exists() == exists


def test_another_dataset_is_not_written_into(tmp_path):
    (tmp_path / "dataset_description.json").write_text('{"Name": "My study", "BIDSVersion": "1.8.0"}')
    with pytest.raises(InputError, match="another dataset"):
        Derivatives(tmp_path, "01")


def test_a_file_or_an_unreadable_description_is_refused(tmp_path):
    (tmp_path / "dataset_description.json").write_text("{")
    with pytest.raises(InputError, match="cannot be understood"):
        Derivatives(tmp_path, "01")
    with pytest.raises(InputError, match="is a file"):
        Derivatives(tmp_path / "dataset_description.json", "01")
