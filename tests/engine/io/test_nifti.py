"""NIfTI files: values, scale, affine, every ending."""

import nibabel
import numpy as np
import pytest

import images
from ferritin.io.nifti import distance_mm, load_volume, open_nifti


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_values_and_affine(tmp_path, dtype, ending):
    values = np.random.default_rng(0).integers(0, 200, (5, 6, 7)).astype(dtype)
    found, affine = load_volume(images.save(tmp_path / f"a{ending}", values, slope=0.5, intercept=-3))
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, values * 0.5 - 3, rtol=1e-6)
    np.testing.assert_allclose(affine, images.AFFINE, rtol=1e-6)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_files_of_nibabel(tmp_path, kind):
    values = np.random.default_rng(0).normal(size=(5, 6, 7, 3)).astype(np.float32)
    nibabel.save(kind(values, images.AFFINE), tmp_path / "a.nii.gz")
    found, affine = load_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(found, values)
    np.testing.assert_allclose(affine, images.AFFINE, rtol=1e-6)


def test_big_endian(tmp_path):
    values = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    image = nibabel.Nifti1Image(values, images.AFFINE, nibabel.Nifti1Header(endianness=">"))
    image.to_filename(tmp_path / "a.nii")
    np.testing.assert_array_equal(load_volume(tmp_path / "a.nii")[0], values)


def test_complex_values(tmp_path):
    values = images.echoes(1)[0]
    found, _ = load_volume(images.save(tmp_path / "a.nii", values))
    np.testing.assert_array_equal(found, values)


def test_volumes_come_one_by_one_as_stored(tmp_path):
    values = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    file = open_nifti(images.save(tmp_path / "a.nii.gz", values, slope=2, intercept=1))
    assert (file.shape, file.n_volumes, file.slope, file.intercept) == ((2, 3, 4), 5, 2, 1)
    for i, volume in enumerate(file.volumes()):
        np.testing.assert_array_equal(volume, values[..., i])
        assert volume.dtype == np.int16


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_slope_without_meaning_is_one(tmp_path, slope):
    path = images.save(tmp_path / "a.nii", np.ones((2, 2, 2), np.int16))
    content = bytearray(path.read_bytes())
    content[112:116] = np.float32(slope).tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(load_volume(path)[0], 1)


def test_micrometres_become_mm(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.diag([500.0, 500.0, 1000.0, 1.0]))
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "a.nii")
    np.testing.assert_allclose(load_volume(tmp_path / "a.nii")[1], np.diag([0.5, 0.5, 1, 1]))


def test_distance_is_that_of_the_worst_corner():
    turned = images.AFFINE.copy()
    turned[:3, 0] = images.AFFINE[:3, 0] @ np.diag([1, 1, 1]) + (0, 0.01, 0)
    assert distance_mm((11, 5, 5), images.AFFINE, turned) == pytest.approx(0.1)
