"""Files are whole or not there, say the geometry exactly, and hold the values bit for bit."""

import gzip
import itertools
import json
import os
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from ferritin.errors import InputError, ShapeError
from ferritin.io.writing import atomic, plain, write_json, write_nifti
from ferritin.scan import Finding

RNG = np.random.default_rng(0)


def oblique(voxel_mm, degrees=25.0, flips=(1, 1, 1)):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) * voxel_mm * flips
    affine[:3, 3] = -80, -95.5, -60
    return affine


@pytest.mark.parametrize("name", ["map.nii.gz", "map.nii"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.complex64, np.int16])
def test_values_come_back_bit_for_bit(tmp_path, name, dtype):
    volume = (100 * RNG.normal(size=(7, 5, 6))).astype(dtype)
    write_nifti(tmp_path / name, volume, np.eye(4))
    image = nib.load(tmp_path / name)
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume)


@pytest.mark.parametrize(("given", "stored"), [(bool, np.uint8), (np.float64, np.float32)])
def test_masks_and_doubles_are_stored_smaller(tmp_path, given, stored):
    write_nifti(tmp_path / "m.nii.gz", np.ones((2, 3, 4), given), np.eye(4))
    assert nib.load(tmp_path / "m.nii.gz").get_data_dtype() == stored


def test_any_memory_order_and_a_fourth_axis(tmp_path):
    echoes = RNG.normal(size=(3, 4, 5, 6)).astype(np.float32)
    write_nifti(tmp_path / "e.nii.gz", np.moveaxis(echoes, 0, -1), np.eye(4))
    np.testing.assert_array_equal(np.moveaxis(np.asarray(nib.load(tmp_path / "e.nii.gz").dataobj), -1, 0), echoes)


def test_a_function_is_applied_slab_by_slab(tmp_path):
    echo = (RNG.normal(size=(64, 64, 300)) + 1j).astype(np.complex64)
    write_nifti(tmp_path / "mag.nii.gz", echo, np.eye(4), each=np.abs)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "mag.nii.gz").dataobj), np.abs(echo))


@pytest.mark.parametrize("flips", [*itertools.product((1, -1), repeat=3)])
def test_sform_and_qform_agree_for_both_handednesses(tmp_path, flips):
    affine = oblique((0.7, 0.8, 1.5), flips=flips)
    write_nifti(tmp_path / "a.nii.gz", np.zeros((4, 5, 6), np.float32), affine)
    header = nib.load(tmp_path / "a.nii.gz").header
    np.testing.assert_allclose(header.get_sform(), affine, atol=1e-5)
    np.testing.assert_allclose(header.get_qform(), affine, atol=1e-4)
    assert header["sform_code"] == header["qform_code"] == 1
    assert header.get_xyzt_units()[0] == "mm"
    assert header["pixdim"][0] == np.sign(np.prod(flips))


def test_writing_makes_no_second_copy(tmp_path):
    volume = RNG.normal(size=(160, 160, 160)).astype(np.float32)
    tracemalloc.start()
    write_nifti(tmp_path / "v.nii.gz", volume, np.eye(4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a slab and its transpose, and per compressing thread three blocks of a megabyte
    assert peak < 16e6 + 4e6 * len(os.sched_getaffinity(0)), f"{peak / 1e6:.0f} MB for {volume.nbytes / 1e6:.0f} MB"


def test_the_same_content_gives_the_same_bytes(tmp_path):
    volume = RNG.normal(size=(8, 8, 8)).astype(np.float32)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, volume, np.eye(4))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert len(gzip.decompress((tmp_path / "a.nii.gz").read_bytes())) == 352 + volume.nbytes


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("before")
    with pytest.raises(TypeError), atomic(path) as stream:
        stream.writelines([b"half", None])
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["x.json"]


def test_an_error_while_compressing_leaves_nothing(tmp_path):
    def fail(slab):
        if slab.size:
            raise MemoryError
        return slab

    with pytest.raises(MemoryError):
        write_nifti(tmp_path / "x.nii.gz", np.zeros((4, 4, 4), np.float32), np.eye(4), each=fail)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("volume", "error"),
    [(np.zeros((3, 3), np.float32), ShapeError), (np.zeros((3, 3, 3), np.complex128), InputError)],
)
def test_what_cannot_be_stored_is_refused(tmp_path, volume, error):
    with pytest.raises(error, match=r"x\.nii"):
        write_nifti(tmp_path / "x.nii", volume, np.eye(4))
    assert os.listdir(tmp_path) == []


def test_json_says_nan_as_null_and_numpy_as_numbers(tmp_path):
    write_json(tmp_path / "x.json", {"a": np.float32(0.5), "b": [np.nan, np.inf], "c": np.arange(2), "µ": (1, None)})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 0.5, "b": [None, None], "c": [0, 1], "µ": [1, None]}
    assert plain(Finding("p", "r")) == {"problem": "p", "repair": "r", "level": "warning"}
