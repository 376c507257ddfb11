"""Headers of raw files: geometry, timing, directions, lines, facts; and a file written by the ismrmrd package."""

import h5py
import numpy as np
import pytest

import mrd
from ferritin.io import read
from ferritin.io.ismrmrd import RawFile
from ferritin.kspace.cartesian import cartesian


def rotation(degrees, axis):
    t = np.deg2rad(degrees)
    i, j = [k for k in range(3) if k != axis]
    out = np.eye(3)
    out[i, i] = out[j, j] = np.cos(t)
    out[i, j], out[j, i] = -np.sin(t), np.sin(t)
    return out


def oriented(tmp_path, directions, position, shape=(6, 5, 4), voxel=(1.5, 2.0, 3.0)):
    """A file of one slab at `position` (LPS) whose axes are the columns of `directions` (LPS)."""
    encoded = (2 * shape[0], *shape[1:])
    fov = [n * v for n, v in zip(shape, voxel)]
    xml = mrd.header(encoded, shape, fov_encoded=(2 * fov[0], *fov[1:]), fov_recon=fov, te_ms=[4])
    k = mrd.kspace(mrd.random_images((1, 1, *shape)), encoded)
    return mrd.write(tmp_path / "raw.h5", xml, mrd.imaging_lines(k, directions=directions, position=position))


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, 1, -1)])
@pytest.mark.parametrize("angles", [(0, 0), (25, 0), (-40, 15)])
def test_voxel_centres(tmp_path, angles, flip):
    """Voxel (i, j, k) lies at position + sum (i - N//2) * voxel * direction, in LPS."""
    directions = rotation(angles[0], 0) @ rotation(angles[1], 1) @ np.diag(flip)
    position, voxel, centre = np.array([11.0, -7.5, 20.0]), np.array([1.5, 2.0, 3.0]), np.array([3, 2, 2])
    scan = read(oriented(tmp_path, directions, position))
    for index in np.ndindex(2, 2, 2):
        index = np.array(index) * 3
        lps = position + directions @ (voxel * (index - centre))
        np.testing.assert_allclose((scan.affine @ [*index, 1])[:3], lps * (-1, -1, 1), atol=1e-5)
    np.testing.assert_allclose(scan.b0_dir, directions.T @ (0, 0, 1), atol=1e-6)
    assert scan.voxel_mm == pytest.approx(tuple(voxel))


def test_header_facts(tmp_path):
    scan = read(mrd.simple(tmp_path / "raw.h5", te_ms=(4, 9.5)))
    raw = scan.data["raw"]
    assert isinstance(raw, RawFile)
    assert scan.te_s == pytest.approx((0.004, 0.0095))
    assert scan.b0_t == 3.0
    assert scan.f0_hz == 127732436
    assert scan.shape == (6, 5, 4)
    assert scan.polarity == (1, 1)
    assert raw.n_coils == 2
    assert raw.imaging.n_averages == 1
    assert raw.coverage.fraction == 1
    assert scan.provenance["protocol"] == "test"
    assert scan.provenance["tr_s"] == pytest.approx(0.03)
    assert scan.provenance["file"] == "raw.h5"
    assert scan.findings == ()


def test_overrides(tmp_path):
    path = mrd.simple(tmp_path / "raw.h5")
    scan = read(path, te_ms=[3, 8], b0=2.9, polarity="+-")
    assert scan.te_s == pytest.approx((0.003, 0.008))
    assert scan.b0_t == 2.9
    assert scan.f0_hz == pytest.approx(42577478.518 * 2.9)
    assert scan.polarity == (1, -1)
    arrays = read(path, te_ms=np.array([3, 8]), polarity=np.array([1, -1]))
    assert (arrays.te_s, arrays.polarity) == (scan.te_s, scan.polarity)


def test_nominal_field_strength_of_a_magnet_below_it(tmp_path):
    path = mrd.simple(tmp_path / "raw.h5", b0=2.89)
    with h5py.File(path, "r+") as f:
        f["dataset/xml"][0] = f["dataset/xml"][0].replace(b"_T>2.89<", b"_T>3<")
    scan = read(path)
    assert scan.b0_t == 3
    assert scan.f0_hz == pytest.approx(2.89 * 42577478.518, abs=1)


@pytest.mark.parametrize("bandwidth", [-1, 0, 1e-9])
def test_noise_bandwidth_that_cannot_be(tmp_path, bandwidth):
    scan = read(mrd.simple(tmp_path / "raw.h5", bandwidth=bandwidth))
    assert [f"is {bandwidth:g}, expected" in str(f) for f in scan.findings] == [True]
    usual = read(mrd.simple(tmp_path / "usual.h5", bandwidth=0.793))
    images = [cartesian(s.data["raw"], s).coil_images[0, 0] for s in (scan, usual)]
    np.testing.assert_array_equal(*images)


def test_field_strength_from_the_frequency(tmp_path):
    path = mrd.simple(tmp_path / "raw.h5", b0=3.0)
    with h5py.File(path, "r+") as f:
        xml = f["dataset/xml"][0].replace(b"<systemFieldStrength_T>3.0</systemFieldStrength_T>", b"")
        f["dataset/xml"][0] = xml
    scan = read(path)
    assert scan.b0_t == pytest.approx(3.0, rel=1e-6)
    assert any("proton frequency" in f.repair for f in scan.findings)


def test_hash_follows_the_content(tmp_path):
    one, two = (read(mrd.simple(tmp_path / f"{i}.h5", te_ms=(4, 9 + i))).provenance["hash"] for i in range(2))
    assert one != two
    assert one.startswith("sha256:")
    again = read(mrd.simple(tmp_path / "again.h5", te_ms=(4, 9))).provenance["hash"]
    assert len(again) == len(one)


@pytest.mark.parametrize(
    "storage", [{"chunks": (1,)}, {"chunks": (1000,)}, {"compression": "gzip"}, {"chunks": None, "maxshape": None}]
)
def test_every_way_of_storing_acquisitions(tmp_path, storage):
    shape, encoded = (6, 5, 4), (12, 5, 4)
    images = mrd.random_images((2, 1, *shape))
    xml = mrd.header(encoded, shape, fov_encoded=(12, 5, 4), fov_recon=shape, te_ms=[4])
    lines = [mrd.noise_line(2, np.random.default_rng(0)), *mrd.imaging_lines(mrd.kspace(images, encoded))]
    scan = read(mrd.write(tmp_path / "raw.h5", xml, lines, **storage))
    result = cartesian(scan.data["raw"], scan).coil_images
    np.testing.assert_allclose(result[1, 0], images[1, 0], atol=3e-6)


def test_file_of_the_ismrmrd_package(tmp_path):
    """Written acquisition by acquisition through the package's own classes and its own header schema."""
    ismrmrd = pytest.importorskip("ismrmrd")
    shape, encoded = (6, 7, 4), (12, 7, 4)
    images = mrd.random_images((3, 2, *shape))
    k = mrd.kspace(images, encoded)
    xml = mrd.header(encoded, shape, fov_encoded=(24, 14, 8), fov_recon=(12, 14, 8), centers=(3, 2))
    ismrmrd.xsd.CreateFromDocument(xml)  # the schema accepts it
    dataset = ismrmrd.Dataset(str(tmp_path / "package.h5"), "dataset", create_if_needed=True)
    dataset.write_xml_header(xml.encode())
    noise = ismrmrd.Acquisition.from_array(
        mrd.white_noise(2 * np.eye(3), 256, np.random.default_rng(0)).astype(np.complex64)
    )
    noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    noise.sample_time_us = 5.0
    dataset.append_acquisition(noise)
    for e, y, z in np.ndindex(2, 7, 4):
        acquisition = ismrmrd.Acquisition.from_array(k[:, e, :, y, z].astype(np.complex64))
        acquisition.center_sample, acquisition.sample_time_us = 6, 5.0
        acquisition.idx.contrast, acquisition.idx.kspace_encode_step_1, acquisition.idx.kspace_encode_step_2 = e, y, z
        acquisition.read_dir[0] = acquisition.phase_dir[1] = acquisition.slice_dir[2] = 1.0
        dataset.append_acquisition(acquisition)
    dataset.close()
    scan = read(tmp_path / "package.h5")
    result = cartesian(scan.data["raw"], scan).coil_images
    assert result.noise_sd == 1.0
    for c, e in np.ndindex(3, 2):
        np.testing.assert_allclose(result[c, e], images[c, e], atol=3e-6)


def test_more_echo_times_than_echoes_is_said(tmp_path):
    path = mrd.simple(tmp_path / "raw.h5")
    with h5py.File(path, "r+") as f:
        f["dataset/xml"][0] = f["dataset/xml"][0].replace(b"<TE>9</TE>", b"<TE>9</TE><TE>14</TE>")
    scan = read(path)
    assert scan.te_s == pytest.approx((0.004, 0.009))
    assert any("3 echo times for 2 echoes" in f.problem for f in scan.findings)


def test_no_directions_are_said(tmp_path):
    scan = read(oriented(tmp_path, np.zeros((3, 3)), (0, 0, 0)))
    assert any("no slice orientation" in f.problem for f in scan.findings)


def test_first_repetition_is_taken_and_said(tmp_path):
    images = mrd.random_images((1, 1, 6, 5, 4))
    k = mrd.kspace(images, (12, 5, 4))
    xml = mrd.header((12, 5, 4), (6, 5, 4), fov_encoded=(12, 5, 4), fov_recon=(6, 5, 4), te_ms=[4])
    lines = [
        mrd.noise_line(1, np.random.default_rng(0)),
        *mrd.imaging_lines(k),
        *mrd.imaging_lines(5 * k, repetition=1),
    ]
    scan = read(mrd.write(tmp_path / "raw.h5", xml, lines))
    np.testing.assert_allclose(cartesian(scan.data["raw"], scan).coil_images[0, 0], images[0, 0], atol=3e-6)
    assert any("2 repetitions" in f.problem for f in scan.findings)
