"""R2 of spin echoes: truth by the simulator's own phase graph, in every namespace, and from a BIDS folder to maps."""

import json

import numpy as np
import pytest

import ferritin as ft
from ferritin.errors import InputError, ParameterError
from ferritin.io.nifti import load_volume
from ferritin.io.writing import write_nifti
from ferritin.phantom.epg import echo_train
from ferritin.registry import find
from ferritin.relax.spin_echo import epg, gaussian_slice, r2_log_linear, r2_nonlinear
from ferritin.run.progress import Progress
from ferritin.run.recon import Options, recon
from ferritin.run.stage import run_stage
from ferritin.scan import Scan

TE = tuple(0.01 * np.arange(1, 11))
SHAPE = (12, 14, 10)


def scan_of(te=TE, **options):
    return Scan(te, 3.0, np.diag([2.0, 2.0, 2.0, 1.0]), SHAPE, sequence="spin echo", **options)


def head(te=TE, sd=0.0, flip_deg=180.0, seed=0):
    """Magnitudes (echo, x, y, z) of a box of tissue in air, R2 [1/s], B1, mask."""
    rng = np.random.default_rng(seed)
    r2, b1 = rng.uniform(4, 50, SHAPE), rng.uniform(0.6, 1.0, SHAPE)
    mask = np.zeros(SHAPE, bool)
    mask[1:-1, 1:-1, 1:-1] = True
    n = round(te[-1] / (te[1] - te[0]))
    train = echo_train(1.0, r2, b1, spacing_s=te[1] - te[0], n=n, flip_deg=flip_deg)[n - len(te) :]
    noise = sd * rng.standard_normal((2, *train.shape))
    echoes = abs(1000 * mask * train + noise[0] + 1j * noise[1])
    return echoes.astype(np.float32), r2, b1, mask


def test_truth_in_every_namespace(xp, to_xp, to_np):
    echoes, r2, b1, mask = head()
    maps = epg(to_xp(echoes.astype(np.complex64)), to_xp(mask), scan_of())
    np.testing.assert_allclose(to_np(maps.r2)[mask], r2[mask], rtol=0.01)
    np.testing.assert_allclose(to_np(maps.b1)[mask], b1[mask], rtol=0.02)
    assert not to_np(maps.r2)[~mask].any()
    assert maps.record.stopped_by == "tolerance"


def test_nominal_angle_and_missing_or_dropped_echoes():
    echoes, r2, b1, mask = head(flip_deg=150)
    for scan in (scan_of(provenance={"refocusing_deg": 150}), scan_of()):
        given = None if scan.provenance else 150.0
        for first_echo in ("keep", "drop"):
            maps = epg(echoes, mask, scan, refocusing_deg=given, first_echo=first_echo)
            assert np.mean(abs(maps.b1[mask] / b1[mask] - 1) < 0.02) > 0.98
    late, r2, _, mask = head(te=TE[1:])
    assert np.mean(abs(epg(late, mask, scan_of(TE[1:])).r2[mask] / r2[mask] - 1) < 0.01) > 0.98


def test_exponentials_read_r2_low_and_dropping_the_first_echo_helps():
    echoes, r2, _, mask = head()
    dropped, kept, line = (
        method(echoes, mask, scan_of(), **options).r2[mask] / r2[mask] - 1
        for method, options in ((r2_nonlinear, {}), (r2_nonlinear, {"first_echo": "keep"}), (r2_log_linear, {}))
    )
    assert max(np.median(kept), np.median(line)) < -0.05 < np.median(dropped)
    assert np.percentile(abs(dropped), 90) > 0.02
    assert r2_nonlinear(echoes, mask, scan_of()).b1 is None


def test_the_slice_profile_is_a_sum_over_the_slice():
    parts = np.array(gaussian_slice(1.0))
    assert parts[:, 1].sum() == pytest.approx(1)
    assert parts[len(parts) // 2, 0] == pytest.approx(1)
    r2, b1 = 20.0, 0.9
    trains = echo_train(1.0, r2, b1 * parts[:, 0], spacing_s=0.01, n=10) / np.sin(np.pi / 2 * b1 * parts[:, 0])
    echoes = np.broadcast_to((trains @ parts[:, 1])[:, None, None, None], (10, *SHAPE)).astype(np.float32)
    mask = np.ones(SHAPE, bool)
    maps = epg(np.ascontiguousarray(echoes), mask, scan_of(), slice_profile="gaussian")
    np.testing.assert_allclose(maps.r2, r2, rtol=0.01)
    np.testing.assert_allclose(maps.b1, b1, rtol=0.02)
    assert abs(epg(np.ascontiguousarray(echoes), mask, scan_of()).r2[0, 0, 0] / r2 - 1) > 0.02


def test_wrong_input_is_one_clear_line():
    echoes, _, _, mask = head()
    with pytest.raises(InputError, match="consecutive multiples"):
        epg(echoes, mask, scan_of(tuple(0.003 + t for t in TE)))
    with pytest.raises(ParameterError, match="refocusing_width"):
        epg(echoes, mask, scan_of(), refocusing_width=0.0)
    for angle in (0.0, -90.0, float("nan")):
        with pytest.raises(ParameterError, match="refocusing_deg"):
            epg(echoes, mask, scan_of(), refocusing_deg=angle)
    two, three = (np.ascontiguousarray(echoes[:n]) for n in (2, 3))
    for fit, given, more in ((r2_nonlinear, two, {}), (r2_nonlinear, three, {"noise": "floor"}), (epg, three, {})):
        with pytest.raises(InputError, match="first_echo = drop leaves"):
            fit(given, mask, scan_of(TE[: len(given)]), **(more | {"first_echo": "drop"}))
    r2_nonlinear(two, mask, scan_of(TE[:2]), first_echo="keep")


def test_torch_tensors_come_and_go():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    echoes, r2, _, mask = head()
    maps = ft.relax.epg(torch.from_numpy(echoes), torch.from_numpy(mask), scan_of())
    assert isinstance(maps.r2, torch.Tensor)
    np.testing.assert_allclose(maps.r2.numpy()[mask], r2[mask], rtol=0.01)


def write_mese(folder, echoes, te=TE):
    anat = folder / "sub-07" / "anat"
    anat.mkdir(parents=True)
    for k, (echo, t) in enumerate(zip(echoes, te), start=1):
        write_nifti(anat / f"sub-07_echo-{k}_MESE.nii.gz", echo, np.diag([2.0, 2.0, 2.0, 1.0]))
        said = {"EchoTime": t, "MagneticFieldStrength": 3, "RefocusingFlipAngle": 180, "RepetitionTime": 3}
        (anat / f"sub-07_echo-{k}_MESE.json").write_text(json.dumps(said))
    return anat


def test_a_folder_of_mese_becomes_maps(tmp_path):
    echoes, r2, b1, mask = head(sd=1.0)
    write_mese(tmp_path / "in", echoes)
    write_nifti(tmp_path / "mask.nii.gz", mask, np.diag([2.0, 2.0, 2.0, 1.0]))
    scan = ft.read(tmp_path / "in")
    assert scan.sequence == "spin echo"
    assert scan.te_s == pytest.approx(TE)
    outcome = recon(tmp_path / "in", tmp_path / "out", Options(mask=tmp_path / "mask.nii.gz"), Progress.silent())
    assert not outcome.maps.missing
    anat = tmp_path / "out" / "sub-07" / "anat"
    r2map, t2map, b1map, error = (
        load_volume(anat / f"sub-07_{n}.nii.gz")[0] for n in ("R2map", "T2map", "TB1map", "desc-se_R2map")
    )
    assert np.median(abs(r2map[mask] / r2[mask] - 1)) < 0.01
    np.testing.assert_allclose(t2map[mask], 1 / r2map[mask], rtol=1e-6)
    assert np.median(abs(b1map[mask] / b1[mask] - 1)) < 0.02
    assert np.median(error[mask]) < 1
    assert json.loads((anat / "sub-07_R2map.json").read_text())["Method"] == "r2.epg"
    again = recon(tmp_path / "in", tmp_path / "out", Options(mask=tmp_path / "mask.nii.gz"), Progress.silent())
    assert again.reused_all


def test_exponentials_by_recon_and_reuse_without_b1(tmp_path):
    echoes, _, _, mask = head(sd=1.0)
    write_mese(tmp_path / "in", echoes)
    write_nifti(tmp_path / "mask.nii.gz", mask, np.diag([2.0, 2.0, 2.0, 1.0]))
    options = Options(mask=tmp_path / "mask.nii.gz", settings={"r2": {"method": "nonlinear"}})
    recon(tmp_path / "in", tmp_path / "out", options, Progress.silent())
    assert not list((tmp_path / "out").rglob("*TB1map*"))


def test_both_kinds_in_one_dataset(tmp_path):
    """Gradient echoes are taken, spin echoes where R2 is asked for; neither does for the other."""
    echoes, r2, _, mask = head()
    anat = write_mese(tmp_path / "in", echoes)
    for k, t in enumerate((0.004, 0.012), start=1):
        for part in ("mag", "phase"):
            name = f"sub-07_echo-{k}_part-{part}_MEGRE"
            values = (echoes[0] if part == "mag" else 0.1 * np.ones(SHAPE)).astype(np.float32)
            write_nifti(anat / f"{name}.nii.gz", values, np.diag([2.0, 2.0, 2.0, 1.0]))
            said = {"EchoTime": t, "MagneticFieldStrength": 3, "Units": "rad" if part == "phase" else "arbitrary"}
            (anat / f"{name}.json").write_text(json.dumps(said))
    assert ft.read(tmp_path / "in", phase_scaling="rad").sequence == "gradient echo"
    scan = ft.read(tmp_path / "in", sequence="spin echo")
    maps = ft.reconstruct(scan, mask=mask, device="cpu")
    np.testing.assert_allclose(maps.r2[mask], r2[mask], rtol=0.01)
    with pytest.raises(InputError, match="r2star is made of gradient echoes"):
        ft.reconstruct(scan, mask=mask, targets=("r2star",), device="cpu")
    with pytest.raises(InputError, match="no spin echoes"):
        ft.read(write_nothing_but(tmp_path / "other", anat), sequence="spin echo")


def write_nothing_but(folder, anat):
    folder.mkdir()
    for path in anat.glob("*MEGRE*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_the_stage_command_works_on_files(tmp_path):
    echoes, r2, _, mask = head()
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    write_nifti(tmp_path / "m.nii.gz", np.moveaxis(echoes, 0, -1), affine)
    write_nifti(tmp_path / "mask.nii.gz", mask, affine)
    files = {"magnitude": tmp_path / "m.nii.gz", "mask": tmp_path / "mask.nii.gz"}
    info = run_stage("r2", files, tmp_path / "out", te_ms=[1e3 * t for t in TE], b0=3.0, device="cpu")
    assert {p.rpartition("/")[2] for p in info["files"]} == {"r2.nii.gz", "r2_se.nii.gz", "b1.nii.gz"}
    np.testing.assert_allclose(load_volume(tmp_path / "out" / "r2.nii.gz")[0][mask], r2[mask], rtol=0.01)


def test_all_methods_of_the_stage_are_found():
    assert find("r2").name == "epg"
    assert {find("r2", name).stage for name in ("nonlinear", "log_linear")} == {"r2"}
