"""Simulated files: conventions that readers rely on, checked with the public ismrmrd package and by hand."""

import json

import nibabel
import numpy as np
import pytest

from ferritin.errors import InputError, ParameterError
from ferritin.phantom import Protocol, simulate
from ferritin.phantom.acquire import write_raw
from ferritin.phantom.kspace import band_limited, centred_fft, sampled_lines
from ferritin.phantom.signal import gradient_echo, steady_state

FAST = Protocol(voxel_mm=(10.0, 10.0, 10.0), te_ms=(4.0, 12.0), coils=3, fine_mm=5.0)


def volume(path):
    return np.asanyarray(nibabel.load(path).dataobj)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    return folder, simulate(folder, FAST, seed=2)


def acquisitions(path):
    ismrmrd = pytest.importorskip("ismrmrd")
    data = ismrmrd.Dataset(path, "dataset", create_if_needed=False)
    header = ismrmrd.xsd.CreateFromDocument(data.read_xml_header())
    found = [data.read_acquisition(i) for i in range(data.number_of_acquisitions())]
    data.close()
    return header, found


def images_of(found, shape, n_coil, n_echo):
    """Plain reconstruction by hand: grid, transform, crop the readout."""
    nx, ny, nz = shape
    k = np.zeros((n_echo, n_coil, 2 * nx, ny, nz), complex)
    for a in found:
        if a.flags & (1 << 18):
            continue
        data = np.roll(a.data[:, ::-1], 1, 1) if a.flags & (1 << 21) else a.data
        k[a.idx.contrast, :, :, a.idx.kspace_encode_step_1, a.idx.kspace_encode_step_2] = data
    axes = (2, 3, 4)
    image = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(k, axes), axes=axes), axes)
    return image[:, :, nx - nx // 2 : nx - nx // 2 + nx]


def test_header(raw):
    folder, scanner = raw
    header, found = acquisitions(folder / "raw.h5")
    nx, ny, nz = scanner.images.shape
    encoding = header.encoding[0]
    assert (encoding.encodedSpace.matrixSize.x, encoding.reconSpace.matrixSize.x) == (2 * nx, nx)
    assert encoding.encodedSpace.fieldOfView_mm.x == pytest.approx(2 * 10 * nx)
    assert encoding.encodingLimits.kspace_encoding_step_1.center == ny // 2
    assert list(header.sequenceParameters.TE) == [4.0, 12.0]
    assert header.acquisitionSystemInformation.systemFieldStrength_T == 7.0
    assert header.experimentalConditions.H1resonanceFrequency_Hz == 298042350
    assert found[0].flags == 1 << 18
    assert len(found) == 16 + 2 * ny * nz
    line = found[-1]
    assert (line.center_sample, line.number_of_samples, line.active_channels) == (nx, 2 * nx, 3)
    assert tuple(line.read_dir) == (-1, 0, 0)
    assert tuple(line.phase_dir) == (0, -1, 0)
    assert tuple(line.slice_dir) == (0, 0, 1)
    centre = scanner.images.centre_mm
    assert tuple(line.position) == pytest.approx((-centre[0], -centre[1], centre[2]))


def test_images_show_the_simulated_signal(raw):
    """The sum over coils of the raw file's images is the coil-free echo within noise; phase grows with the field."""
    folder, scanner = raw
    _, found = acquisitions(folder / "raw.h5")
    image = images_of(found, scanner.images.shape, 3, 2)
    brain = scanner.mask
    phase = np.angle((image[1] * image[0].conj()).sum(0))
    expected = np.angle(scanner.echo(1) * scanner.echo(0).conj())
    assert np.abs(np.angle(np.exp(1j * (phase - expected))))[brain].mean() < 0.1
    truth = volume(folder / "truth/total_field.nii.gz") * scanner.hz_per_ppm
    quiet = brain & (np.abs(truth) < 30)
    slope = np.polyfit(truth[quiet], expected[quiet] / (2 * np.pi * 8e-3), 1)[0]
    assert slope == pytest.approx(1, abs=0.15)


def test_noise_scan_matches_the_noise_of_the_lines(raw, tmp_path):
    """Covariance of the noise scan over that of the lines: dwell 5 / 10 times the bandwidth 0.793.

    The lines' noise is the difference of two files of the same head and coils.
    """
    _, scanner = raw
    lines, scans = [], []
    for seed in (1, 2):
        write_raw(tmp_path / "raw.h5", scanner, np.random.default_rng(0), np.random.default_rng(seed))
        _, found = acquisitions(tmp_path / "raw.h5")
        lines.append(np.concatenate([a.data for a in found[16:400]], 1))
        scans.append(np.concatenate([a.data for a in found[:16]], 1))
    noise, scan = (lines[0] - lines[1]) / np.sqrt(2), np.concatenate(scans, 1)
    of_lines, of_scan = (v @ v.conj().T / v.shape[1] for v in (noise, scan))
    scale = np.sqrt(np.outer(np.diag(of_lines), np.diag(of_lines))).real
    np.testing.assert_allclose(of_scan / (0.5 * 0.793) / scale, of_lines / scale, atol=0.05)
    assert np.abs(of_lines / scale)[0, 1] > 0.02
    nx, ny, nz = scanner.images.shape
    assert np.diag(of_lines).real / (2 * nx * ny * nz) == pytest.approx(2 * scanner.sigma**2, rel=0.6)


def test_truth_files(raw):
    folder, scanner = raw
    mask = volume(folder / "truth/mask.nii.gz") > 0
    chi = volume(folder / "truth/chi.nii.gz")
    assert chi.dtype == np.float32
    assert chi[mask].mean() == pytest.approx(0, abs=1e-6)
    assert (chi[~mask] == 0).all()
    np.testing.assert_allclose(nibabel.load(folder / "truth/chi.nii.gz").affine, scanner.images.affine, atol=1e-4)
    meta = json.loads((folder / "truth/scan.json").read_text())
    assert meta["te_ms"] == [4.0, 12.0]
    assert meta["hz_per_ppm"] == pytest.approx(298.0423, rel=1e-6)
    assert meta["b0_dir_voxel"] == [0, 0, 1]
    assert (folder / "truth/labels.tsv").read_text().splitlines()[0] == "index\tname"


def test_local_field_is_the_dipole_field_of_chi_in_the_mask():
    """On the image grid, away from the rim, the k-space dipole reproduces the local field that the fine grid gave."""
    from ferritin.phantom import Scanner

    scanner = Scanner(Protocol(voxel_mm=(4.0,) * 3, te_ms=(4.0, 12.0), fine_mm=2.0), seed=1)
    truth = scanner.truth()
    mask = truth["mask"] > 0
    shape = [2 * n for n in mask.shape]
    k = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij", sparse=True)
    k2 = sum(a * a for a in k)
    k2[0, 0, 0] = 1
    dipole = 1 / 3 - k[2] ** 2 / k2
    dipole[0, 0, 0] = 0
    ours = np.fft.ifftn(np.fft.fftn(truth["chi"], shape, axes=(0, 1, 2)) * dipole).real[
        tuple(slice(0, n) for n in mask.shape)
    ]
    local = truth["local_field"]
    assert np.corrcoef(ours[mask], local[mask])[0, 1] > 0.9
    assert np.polyfit(local[mask], ours[mask], 1)[0] == pytest.approx(1, abs=0.15)


def test_the_seed_decides_every_sample(tmp_path):
    def content(name, seed):
        import h5py

        simulate(tmp_path / name, FAST, seed=seed)
        with h5py.File(tmp_path / name / "raw.h5") as f:
            return np.concatenate(f["dataset/data"][:200]["data"])

    a, b, c = content("a", 5), content("b", 5), content("c", 6)
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_bipolar_oblique_partial_and_elliptical(tmp_path):
    protocol = Protocol(
        voxel_mm=(10.0,) * 3, te_ms=(4.0, 12.0), coils=2, fine_mm=5.0, tilt_deg=20, bipolar=True,
        partial_fourier=0.75, elliptical=True, snr=1e6,
    )  # fmt: skip
    scanner = simulate(tmp_path, protocol)
    _, found = acquisitions(tmp_path / "raw.h5")
    lines = [a for a in found if not a.flags & (1 << 18)]
    assert all(bool(a.flags & (1 << 21)) == (a.idx.contrast == 1) for a in lines)
    assert min(a.idx.kspace_encode_step_2 for a in lines) >= round(0.25 * scanner.images.shape[2])
    angle = np.deg2rad(20)
    assert tuple(lines[0].phase_dir) == pytest.approx((0, -np.cos(angle), np.sin(angle)), abs=1e-6)
    assert tuple(lines[0].slice_dir) == pytest.approx((0, np.sin(angle), np.cos(angle)), abs=1e-6)
    np.testing.assert_allclose(scanner.images.b0_dir, (0, np.sin(angle), np.cos(angle)))


def test_acceleration_flags(tmp_path):
    simulate(tmp_path, Protocol(voxel_mm=(7.0,) * 3, te_ms=(4.0,), coils=2, fine_mm=7.0, accel=(2, 2)))
    header, found = acquisitions(tmp_path / "raw.h5")
    factor = header.encoding[0].parallelImaging.accelerationFactor
    assert (factor.kspace_encoding_step_1, factor.kspace_encoding_step_2) == (2, 2)
    limits = header.encoding[0].encodingLimits
    for a in found[16:]:
        y = a.idx.kspace_encode_step_1 - limits.kspace_encoding_step_1.center
        z = a.idx.kspace_encode_step_2 - limits.kspace_encoding_step_2.center
        on_grid, middle = y % 2 == 0 and z % 2 == 0, -12 <= y < 12 and -12 <= z < 12
        assert a.flags == ((1 << 20 if on_grid else 1 << 19) if middle else 0)
        assert on_grid or middle


def test_bids_files(tmp_path):
    scanner = simulate(tmp_path, FAST, format="bids")
    folder = tmp_path / "sub-01/anat"
    mag, phase = (volume(folder / f"sub-01_echo-2_part-{p}_MEGRE.nii.gz") for p in ("mag", "phase"))
    noise = mag * np.exp(1j * phase) - scanner.echo(1)
    assert noise.real.std() == pytest.approx(scanner.sigma, rel=0.05)
    assert noise.imag.std() == pytest.approx(scanner.sigma, rel=0.05)
    sidecar = json.loads((folder / "sub-01_echo-2_part-phase_MEGRE.json").read_text())
    assert (sidecar["EchoTime"], sidecar["Units"]) == (0.012, "rad")
    assert not (tmp_path / "raw.h5").exists()


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


COARSE = Protocol(voxel_mm=(14.0,) * 3, te_ms=(4.0, 12.0, 20.0), coils=1, fine_mm=14.0)
TWO = Protocol(voxel_mm=(14.0,) * 3, te_ms=(4.0, 12.0), coils=1, fine_mm=14.0)


def test_a_folder_of_something_else_is_refused(tmp_path):
    """Nothing of a study of the user's is touched, whatever is simulated."""
    (tmp_path / "sub-01/anat").mkdir(parents=True)
    (tmp_path / "dataset_description.json").write_text('{"Name": "My study", "BIDSVersion": "1.9.0"}')
    (tmp_path / "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz").write_bytes(b"mine")
    before = content(tmp_path)
    for format in ("raw", "bids", "both"):
        with pytest.raises(InputError, match="is not empty and holds no whole simulation"):
            simulate(tmp_path, COARSE, format=format)
    assert content(tmp_path) == before


def test_a_new_simulation_leaves_nothing_of_the_earlier_one_and_all_of_the_users(tmp_path):
    simulate(tmp_path / "sim", COARSE, format="both")
    (tmp_path / "sim/notes.txt").write_text("mine")
    simulate(tmp_path / "sim", TWO, format="bids")
    simulate(tmp_path / "fresh", TWO, format="bids")
    assert set(content(tmp_path / "sim")) == {*content(tmp_path / "fresh"), "notes.txt"}
    simulate(tmp_path / "sim", TWO)
    assert not (tmp_path / "sim/sub-01").exists()
    assert len(json.loads((tmp_path / "sim/truth/scan.json").read_text())["te_ms"]) == 2


def test_files_that_the_simulation_did_not_write_are_not_replaced(tmp_path):
    simulate(tmp_path, TWO, format="bids")
    description = tmp_path / "dataset_description.json"
    description.write_text('{"Name": "My study"}')
    before = content(tmp_path)
    with pytest.raises(InputError, match=r"holds dataset_description\.json, which is not as a simulation left it"):
        simulate(tmp_path, TWO, format="bids")
    assert content(tmp_path) == before


def test_a_simulation_that_is_stopped_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    simulate(tmp_path / "sim", TWO)
    before = content(tmp_path / "sim")
    monkeypatch.setitem(simulate.__globals__, "_write_truth", stop)
    for name in ("sim", "new/er"):
        with pytest.raises(KeyboardInterrupt):
            simulate(tmp_path / name, COARSE)
    assert content(tmp_path / "sim") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sim"]


def test_scan_json_goes_first_and_comes_last(tmp_path, monkeypatch):
    """While files take their places, the folder does not say that it is whole."""
    import os

    simulate(tmp_path, TWO)
    mark, place, placed = tmp_path / "truth/scan.json", os.replace, []

    def watched(source, target):
        if ".simulating-" not in str(target):
            assert not mark.exists()
            placed.append(target)
        place(source, target)

    monkeypatch.setattr("os.replace", watched)
    simulate(tmp_path, COARSE)
    assert len(placed) > 10
    assert placed[-1] == mark


def test_output_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(InputError, match=r"cannot be written .* give another folder"):
            simulate(out, TWO)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_seed_below_zero_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="seed = -1; expected 0"):
        simulate(tmp_path / "out", TWO, seed=-1)
    assert not (tmp_path / "out").exists()


def test_band_limiting_keeps_constants_and_places():
    """A constant stays; a point stays where it is on the coarser grid."""
    flat = np.ones((20, 24, 30), np.complex64)
    np.testing.assert_allclose(band_limited(flat, (10, 12, 14)), 1, atol=1e-5)
    point = np.zeros((20, 24, 30), np.complex64)
    point[14, 12, 5] = 1
    coarse = np.abs(band_limited(point, (10, 12, 10)))
    assert np.unravel_index(coarse.argmax(), coarse.shape) == (7, 6, 5 // 3 + 1 if 5 % 3 > 1 else 5 // 3)
    wide = band_limited(flat, (10, 12, 14), oversampling=2)
    assert wide.shape == (20, 12, 14)
    np.testing.assert_allclose(np.abs(wide[8:12]), 1, atol=0.1)
    assert np.abs(wide[[0, 1, -1]]).max() < 0.1


def test_centred_transform_of_a_centred_point_is_flat():
    point = np.zeros((6, 5, 4), np.complex64)
    point[3, 2, 2] = 1
    np.testing.assert_allclose(centred_fft(point, (0, 1, 2)), 1, atol=1e-6)


def test_signal_of_one_tissue():
    """Closed form: decay, phase 2π f TE, spoiled steady state (Ernst), and sinc dephasing in a linear field."""
    shape, te = (8, 8, 8), 0.01
    full = lambda v: np.full(shape, v, np.float32)  # noqa: E731
    still = tuple(np.zeros(8, np.float32) for _ in range(3))
    s = gradient_echo(full(2.0), full(50.0), full(20.0), still, te)
    np.testing.assert_allclose(s, 2 * np.exp(-0.5) * np.exp(2j * np.pi * 0.2), rtol=1e-5)
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32) * 30, shape)
    s = gradient_echo(full(1.0), full(0.0), ramp, still, te)
    np.testing.assert_allclose(np.abs(s), np.sin(np.pi * 0.3) / (np.pi * 0.3), rtol=1e-5)
    ernst = np.degrees(np.arccos(np.exp(-0.05)))
    around = [steady_state(full(1), full(1), 0.05, a)[0, 0, 0] for a in (ernst - 2, ernst, ernst + 2)]
    assert around[1] == max(around)
    assert around[1] == pytest.approx(np.sqrt((1 - np.exp(-0.05)) / (1 + np.exp(-0.05))), rel=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [{"te_ms": (4.0, 2.0)}, {"te_ms": ()}, {"coils": 0}, {"snr": 0.0}, {"b0_t": 100.0}, {"te_ms": (60.0,)}],
)
def test_protocol_is_checked(wrong):
    with pytest.raises(ParameterError, match="expected"):
        Protocol(**wrong)


def test_sampling_is_checked():
    with pytest.raises(ParameterError, match="partial Fourier"):
        sampled_lines(20, 20, partial_fourier=0.3)
    with pytest.raises(ParameterError, match="acceleration"):
        sampled_lines(20, 20, accel=(0, 1))
