"""Coil images against k-space that was summed up by hand from known images."""

import h5py
import numpy as np
import pytest

import mrd
from ferritin.io import read
from ferritin.kspace.cartesian import cartesian

TOL = 3e-6


def reconstruct(path, **options):
    scan = read(path, **options)
    return scan, cartesian(scan.data["raw"], scan)


def all_images(result):
    images = result.coil_images
    return np.stack([[images[c, e] for e in range(images.shape[1])] for c in range(images.shape[0])])


def make(tmp_path, images, lines=None, *, encoded=None, fov_scale=(2, 1, 1), xml=None, **head):
    """Write a file whose readout is oversampled twice, and which is whitened by the identity."""
    shape = images.shape[2:]
    encoded = encoded or tuple(round(n * s) for n, s in zip(shape, fov_scale))
    k = mrd.kspace(images, encoded)
    settings = {
        "fov_encoded": [2.0 * n for n in encoded], "fov_recon": [2.0 * n for n in shape],
        "te_ms": [4 * (e + 1) for e in range(images.shape[1])], "centers": (encoded[1] // 2, encoded[2] // 2),
    } | head  # fmt: skip
    lines = mrd.imaging_lines(k) if lines is None else lines(k)
    noise = mrd.noise_line(len(images), np.random.default_rng(3))
    return mrd.write(tmp_path / "raw.h5", xml or mrd.header(encoded, shape, **settings), [noise, *lines])


@pytest.mark.parametrize("shape", [(8, 8, 8), (9, 8, 8), (8, 9, 8), (8, 8, 9), (9, 7, 5), (8, 6, 1), (7, 5, 1)])
def test_images_return(tmp_path, shape):
    images = mrd.random_images((3, 2, *shape))
    scan, result = reconstruct(make(tmp_path, images))
    assert result.coil_images.shape == images.shape
    assert scan.shape == shape
    assert result.coil_images.dtype == np.complex64
    assert result.coil_images.noise_sd == 1.0
    np.testing.assert_allclose(all_images(result), images, atol=TOL)


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sample_at_the_centre_gives_an_image_without_phase(tmp_path, n, axis):
    shape = [8, 8, 8]
    shape[axis] = n

    def centre_only(k):
        k[:] = 1e-20  # 0 would count as not measured
        k[:, :, k.shape[2] // 2, k.shape[3] // 2, k.shape[4] // 2] = 1
        return mrd.imaging_lines(k)

    _, result = reconstruct(make(tmp_path, mrd.random_images((1, 1, *shape)), centre_only))
    expected = 1 / np.sqrt(2 * shape[0] * shape[1] * shape[2])
    np.testing.assert_allclose(result.coil_images[0, 0], np.full(shape, expected), atol=1e-7)


@pytest.mark.parametrize("n", [8, 9])
def test_oversampling_is_the_middle_of_the_full_transform(tmp_path, n):
    rng = np.random.default_rng(5)
    wide = mrd.random_images((1, 1, 2 * n, 4, 3))  # fills the whole oversampled field of view
    k = np.einsum("ax,...xyz->...ayz", mrd.dft(2 * n), wide)
    k = np.einsum("by,cz,...ayz->...abc", mrd.dft(4), mrd.dft(3), k)
    xml = mrd.header(
        (2 * n, 4, 3), (n, 4, 3), fov_encoded=(4 * n, 8, 6), fov_recon=(2 * n, 8, 6), te_ms=[4], centers=(2, 1)
    )
    _, result = reconstruct(mrd.write(tmp_path / "a.h5", xml, [mrd.noise_line(1, rng), *mrd.imaging_lines(k)]))
    first = n - n // 2
    np.testing.assert_allclose(all_images(result), wide[:, :, first : first + n], atol=TOL)


@pytest.mark.parametrize("shape", [(8, 5, 4), (9, 5, 4)])
@pytest.mark.parametrize("rolled", [False, True])
def test_reversed_lines_equal_forward_ones(tmp_path, shape, rolled):
    """Samples in the order of time: the centre is at n-1-n//2; or rolled by the writer so that it stays at n//2."""
    images = mrd.random_images((2, 2, *shape))

    def lines(k):
        out = mrd.imaging_lines(k)
        for line in out:
            n = line.data.shape[1]
            if line.echo == 1:
                line.flags, line.data, line.center = (mrd.REVERSE,), line.data[:, ::-1], n - 1 - n // 2
                if rolled:
                    shift = n // 2 - line.center
                    line.data, line.center = np.roll(line.data, shift, axis=1), n // 2
        return out

    scan, result = reconstruct(make(tmp_path, images, lines))
    assert scan.polarity == (1, -1)
    np.testing.assert_allclose(all_images(result), images, atol=TOL)


def test_asymmetric_echo_is_placed_by_its_centre(tmp_path):
    images = mrd.random_images((1, 2, 8, 5, 4))
    missing = {0: 5, 1: 3}

    def lines(k):
        out = mrd.imaging_lines(k)
        for line in out:
            cut = missing[line.echo]
            line.data, line.center = line.data[:, cut:], 8 - cut
        return out

    _, result = reconstruct(make(tmp_path, images, lines))
    k = mrd.kspace(images, (16, 5, 4))
    k[:, 0, :5], k[:, 1, :3] = 0, 0
    back = np.einsum("ax,by,cz,...abc->...xyz", *(mrd.dft(n, m).conj() for n, m in zip((16, 5, 4), (8, 5, 4))), k)
    level = np.sqrt((11 + 13) / 32)  # the noise of 11 and of 13 of 16 samples, rms of the two echoes
    np.testing.assert_allclose(all_images(result), back / level, atol=TOL)


def test_reversed_asymmetric_line_with_discarded_ends(tmp_path):
    images = mrd.random_images((1, 1, 8, 5, 4))

    def lines(k):
        out = mrd.imaging_lines(k)
        for line in out:
            rubbish = np.full((1, 3), 1e6), np.full((1, 2), -1e6j)
            forward = np.hstack([rubbish[0], line.data[:, 4:], rubbish[1]])
            n = forward.shape[1]
            line.data, line.center = forward[:, ::-1], n - 1 - (3 + 8 - 4)
            line.pre, line.post, line.flags = 2, 3, (mrd.REVERSE,)
        return out

    _, result = reconstruct(make(tmp_path, images, lines))
    k = mrd.kspace(images, (16, 5, 4))
    k[:, :, :4] = 0
    back = np.einsum("ax,by,cz,...abc->...xyz", *(mrd.dft(n, m).conj() for n, m in zip((16, 5, 4), (8, 5, 4))), k)
    np.testing.assert_allclose(all_images(result), back / np.sqrt(12 / 16), atol=TOL)


def test_averages_are_means_of_unequal_counts(tmp_path):
    images = mrd.random_images((2, 1, 6, 5, 4))

    def lines(k):
        out = mrd.imaging_lines(k)
        twice = [mrd.Line(line.data * 3, ky=line.ky, kz=line.kz, average=1) for line in out if line.ky >= 2]
        return [mrd.Line(line.data * (1 if line.ky < 2 else -1), ky=line.ky, kz=line.kz) for line in out] + twice

    scan, result = reconstruct(make(tmp_path, images, lines))
    assert scan.data["raw"].imaging.n_averages == 2
    level = np.sqrt((2 + 3 / 2) / 5)  # 2 of 5 ky once, 3 of 5 twice: half the variance
    np.testing.assert_allclose(all_images(result), images / level, atol=TOL)


def test_centre_of_the_limits_places_the_lines(tmp_path):
    """Partial Fourier as scanners count it: steps from zero, the centre not in the middle."""
    images = mrd.random_images((1, 1, 6, 8, 5))

    def lines(k):
        out = [line for line in mrd.imaging_lines(k) if line.ky >= 2]
        for line in out:
            line.ky -= 2
        return out

    scan, result = reconstruct(make(tmp_path, images, lines, centers=(2, 2)))
    k = mrd.kspace(images, (12, 8, 5))
    k[:, :, :, :2] = 0
    back = np.einsum("ax,by,cz,...abc->...xyz", *(mrd.dft(n, m).conj() for n, m in zip((12, 8, 5), (6, 8, 5))), k)
    np.testing.assert_allclose(all_images(result), back / np.sqrt(6 / 8), atol=TOL)
    assert scan.data["raw"].coverage.partial_fourier == (6 / 8, 1.0)


def test_phase_and_slice_oversampling_are_cropped(tmp_path):
    images = mrd.random_images((1, 1, 6, 5, 4))
    _, result = reconstruct(make(tmp_path, images, fov_scale=(2, 1.2, 1.5)))
    np.testing.assert_allclose(all_images(result), images, atol=TOL)


def test_interpolation_that_the_header_asks_for_is_zero_filling(tmp_path):
    images = mrd.random_images((1, 1, 6, 5, 4))
    xml = mrd.header((12, 5, 4), (6, 8, 4), fov_encoded=(24, 10, 8), fov_recon=(12, 10, 8), te_ms=[4], centers=(2, 2))
    scan, result = reconstruct(make(tmp_path, images, xml=xml))
    k = np.zeros((8, 5))
    k[np.arange(5) + 2, np.arange(5)] = 1
    along_y = mrd.dft(8).conj().T @ k @ mrd.dft(5)
    np.testing.assert_allclose(
        all_images(result), np.einsum("Yy,...xyz->...xYz", along_y, images) / np.sqrt(5 / 8), atol=TOL
    )
    assert scan.voxel_mm == pytest.approx((2, 1.25, 2))
    assert any("8 steps along phase" in f.problem for f in scan.findings)


def test_slices_of_a_2d_scan_are_put_in_spatial_order(tmp_path):
    images = mrd.random_images((2, 2, 6, 5, 3))
    number_of = [1, 2, 0]  # slice numbers as scanned, by place along z

    def lines(_):
        out = []
        for place, number in enumerate(number_of):
            k = mrd.kspace(images[..., place : place + 1], (12, 5, 1))
            out += mrd.imaging_lines(k, slice=number, position=(1.0, 2.0, 10.0 + 3.5 * place))
        return out

    xml = mrd.header((12, 5, 1), (6, 5, 1), fov_encoded=(24, 10, 2), fov_recon=(12, 10, 2), centers=(2, 0))
    scan, result = reconstruct(make(tmp_path, images, lines, xml=xml, encoded=(12, 5, 3)))
    assert scan.shape == (6, 5, 3)
    assert scan.voxel_mm == pytest.approx((2, 2, 3.5))
    np.testing.assert_allclose(scan.affine @ [3, 2, 0, 1], [-1, -2, 10, 1])
    np.testing.assert_allclose(all_images(result), images, atol=TOL)


def test_only_imaging_lines_make_the_image(tmp_path):
    images = mrd.random_images((2, 2, 6, 5, 4))
    other = (mrd.CALIBRATION, mrd.NAVIGATION, mrd.PHASE_CORRECTION, mrd.DUMMY, 26, 28, 29, 30, 31)

    def lines(k):
        out = mrd.imaging_lines(k)
        for line in out[::2]:
            line.flags = (mrd.CALIBRATION_AND_IMAGING,)
        return [mrd.Line(np.full((2, 12), 1e4), ky=1, flags=(f,)) for f in other] + out

    scan, result = reconstruct(make(tmp_path, images, lines))
    np.testing.assert_allclose(all_images(result), images, atol=TOL)
    for kind in ("calibration", "navigation", "phase correction", "dummy", "surface coil correction"):
        assert any(f.problem == f"1 {kind} lines" for f in scan.findings)


@pytest.mark.parametrize("names", [("dataset", "dataset_2"), ("dataset_1", "dataset_2"), ("noise", "dataset")])
def test_noise_scan_in_a_group_of_its_own(tmp_path, names):
    images = mrd.random_images((2, 2, 6, 5, 4))
    path = make(tmp_path, images / 2)
    with h5py.File(path, "r+") as f:
        f.move("dataset", "all")
        for name, rows in zip(names, (slice(0, 1), slice(1, None))):
            f[f"{name}/data"] = f["all/data"][rows]
            f[f"{name}/xml"] = f["all/xml"][:]
        record = f[f"{names[0]}/data"][0]
        record["data"] = record["data"] / 2
        f[f"{names[0]}/data"][0] = record
        del f["all"]
    scan, result = reconstruct(path)
    assert [str(f) for f in scan.findings] == [
        f"group {names[0]} beside {names[1]} has 1 acquisitions, none for the image; its noise scan is used"
    ]
    assert result.coil_images.noise_sd == 1.0
    np.testing.assert_allclose(all_images(result), images, atol=TOL)


def test_phase_sign_conjugates(tmp_path):
    images = mrd.random_images((1, 2, 6, 5, 4))
    _, result = reconstruct(make(tmp_path, images), phase_sign="-")
    np.testing.assert_allclose(all_images(result), images.conj(), atol=TOL)


@pytest.mark.parametrize("sampled", ["full", "partial", "elliptical", "twice"])
def test_noise_of_the_images_has_sd_one(tmp_path, sampled):
    rng = np.random.default_rng(8)
    shape = (32, 24, 20)
    mix = np.eye(3) + 0.3 * mrd.random_images((3, 3), 4)
    dwell_ratio, bandwidth = 0.5, 0.793
    noise = lambda n: mix @ (rng.normal(size=(3, n)) + 1j * rng.normal(size=(3, n)))  # noqa: E731
    y, z = np.meshgrid(np.arange(24), np.arange(20), indexing="ij")
    take = {
        "full": y >= 0, "twice": y >= 0, "partial": y >= 6,
        "elliptical": ((y - 12) / 12) ** 2 + ((z - 10) / 10) ** 2 <= 1,
    }[sampled]  # fmt: skip
    layers = (0, 1) if sampled == "twice" else (0,)
    lines = [mrd.Line(noise(64), ky=a, kz=b, average=n) for n in layers for a, b in np.argwhere(take)]
    scans = [
        mrd.Line(noise(4096) * np.sqrt(dwell_ratio * bandwidth), flags=(mrd.NOISE,), dwell_us=10) for _ in range(4)
    ]
    xml = mrd.header(
        (64, 24, 20), shape, fov_encoded=(64, 24, 20), fov_recon=shape, te_ms=[4], centers=(12, 10), bandwidth=bandwidth
    )
    _, result = reconstruct(mrd.write(tmp_path / "n.h5", xml, scans + lines))
    flat = all_images(result).reshape(3, -1)
    covariance = flat @ flat.conj().T / flat.shape[1]
    # 15 000 complex voxels a coil: the standard error of a variance of 2 is below 0.025
    np.testing.assert_allclose(covariance, 2 * np.eye(3), atol=0.1)
    assert np.real(flat).std() == pytest.approx(1, abs=0.02)


def test_without_a_noise_scan_the_level_is_unknown_and_coils_are_decorrelated(tmp_path):
    rng = np.random.default_rng(9)
    mix = np.eye(2) + 0.4 * mrd.random_images((2, 2), 4)
    noise = lambda n: mix @ (rng.normal(size=(2, n)) + 1j * rng.normal(size=(2, n)))  # noqa: E731
    lines = [mrd.Line(noise(64), ky=a, kz=b) for a in range(16) for b in range(16)]
    xml = mrd.header((64, 16, 16), (32, 16, 16), fov_encoded=(64, 16, 16), fov_recon=(32, 16, 16), te_ms=[4])
    scan, result = reconstruct(mrd.write(tmp_path / "n.h5", xml, lines))
    assert result.coil_images.noise_sd is None
    assert any("no noise scan" in f.problem for f in scan.findings)
    assert any("no noise scan" in note for note in result.record.notes)
    flat = all_images(result).reshape(2, -1)
    np.testing.assert_allclose(flat @ flat.conj().T / flat.shape[1], 2 * np.eye(2), atol=0.25)


@pytest.mark.parametrize("noise_scan", [True, False])
@pytest.mark.parametrize("filled", ["lines", "ends", "half"])
def test_stored_zeros_count_as_not_measured(tmp_path, noise_scan, filled):
    """Elliptical k-space, asymmetric echoes and partial Fourier, filled up with zeros by the scanner."""
    rng = np.random.default_rng(9)
    lines = []
    for a, b in np.ndindex(24, 24):
        noise = rng.normal(size=(2, 64)) + 1j * rng.normal(size=(2, 64))
        if filled == "lines":
            noise *= np.hypot(a - 12, b - 12) <= 12
        else:
            noise[:, : 16 if filled == "ends" else 24] = 0
            noise[:, 48 if filled == "ends" else 64 :] = 0
        lines.append(mrd.Line(noise * 50, ky=a, kz=b))
    xml = mrd.header((64, 24, 24), (32, 24, 24), fov_encoded=(64, 24, 24), fov_recon=(32, 24, 24), te_ms=[4])
    scan = [mrd.noise_line(2, rng, 2 * 50**2 * np.eye(2))] if noise_scan else []
    _, result = reconstruct(mrd.write(tmp_path / "n.h5", xml, scan + lines))
    assert result.coil_images.noise_sd == (1.0 if noise_scan else None)
    assert any("zeros only" in note for note in result.record.notes) == (filled == "lines")
    flat = all_images(result).reshape(2, -1)
    np.testing.assert_allclose(flat @ flat.conj().T / flat.shape[1], 2 * np.eye(2), atol=0.15)


def test_coil_images_are_read_one_at_a_time(tmp_path):
    _, result = reconstruct(make(tmp_path, mrd.random_images((2, 2, 6, 5, 4))))
    images = result.coil_images
    np.testing.assert_array_equal(images[1, 0], images[1, 0])
    with pytest.raises(TypeError, match=r"images\[coil, echo\]"):
        images[0]
    with pytest.raises(IndexError, match="coil 2, echo 0"):
        images[2, 0]


def test_memory_does_not_grow_with_the_coils(tmp_path):
    import tracemalloc

    def peak(n_coils):
        scan = read(make(tmp_path, mrd.random_images((n_coils, 1, 32, 48, 32))))
        tracemalloc.start()
        coil_images = cartesian(scan.data["raw"], scan).coil_images
        for c in range(n_coils):
            coil_images[c, 0]
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    block = 2 << 20  # of lines, held about four times over: as read, in the transform, cropped, whitened
    everything = 16 * 64 * 48 * 32 * 8
    assert peak(16) < min(peak(4) + 5 * block, 0.9 * everything)


def test_progress_counts_lines(tmp_path):
    calls = []
    scan = read(make(tmp_path, mrd.random_images((1, 2, 6, 5, 4))))
    cartesian(scan.data["raw"], scan, progress=lambda i, n: calls.append((i, n)))
    assert calls[-1] == (40, 40)
    assert calls == sorted(calls)
