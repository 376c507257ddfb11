"""The montage draws what is there and refuses when there is nothing."""

import json

import numpy as np
import pytest
from PIL import Image

from ferritin.errors import InputError
from ferritin.io.writing import write_json, write_nifti
from ferritin.report.montage import Row, comparison, draw
from ferritin.report.windows import Window

SHAPE = (20, 22, 18)


@pytest.fixture
def folders(tmp_path):
    truth, anat = tmp_path / "truth", tmp_path / "anat"
    truth.mkdir()
    anat.mkdir()
    mask = np.zeros(SHAPE, bool)
    mask[4:-4, 4:-4, 4:-4] = True
    chi = np.random.default_rng(0).normal(scale=0.05, size=SHAPE).astype(np.float32) * mask
    affine = np.diag((2, 2, 2, 1.0))
    write_nifti(truth / "mask.nii.gz", mask, affine)
    write_nifti(truth / "chi.nii.gz", chi, affine)
    write_nifti(truth / "r2star.nii.gz", 30 * mask.astype(np.float32), affine)
    write_json(truth / "scan.json", {"te_ms": [4, 8], "b0_t": 7.0, "hz_per_ppm": 298.0})
    write_nifti(anat / "sub-01_Chimap.nii.gz", (chi + 0.01) * mask, affine)
    write_nifti(anat / "sub-01_desc-se_R2starmap.nii.gz", chi, affine)
    return truth, anat


def test_maps_that_are_there_are_drawn(folders, tmp_path):
    comparison(*folders, tmp_path / "m.png")
    picture = np.asarray(Image.open(tmp_path / "m.png").convert("RGB"))
    assert picture.shape[1] > 1000
    assert picture.max() > 100


def test_nothing_to_compare_is_said(folders, tmp_path):
    truth, anat = folders
    (anat / "sub-01_Chimap.nii.gz").unlink()
    with pytest.raises(InputError, match="none of the maps"):
        comparison(truth, anat, tmp_path / "m.png")
    assert json.loads((truth / "scan.json").read_text())["b0_t"] == 7


def test_the_difference_of_equal_maps_is_zero_everywhere(tmp_path):
    mask = np.ones(SHAPE, bool)
    values = np.full(SHAPE, 40, np.float32)
    row = Row("R2*", values, values, Window(0, 100, "1/s", "inferno"))
    draw([row], tmp_path / "m.png", mask, np.eye(4), where=(3, 4, 5))
    colours = np.asarray(Image.open(tmp_path / "m.png").convert("RGB")).reshape(-1, 3)
    seen = {tuple(c) for c, n in zip(*np.unique(colours, axis=0, return_counts=True)) if n > 2000}
    assert len(seen) == 3  # the page, 40 1/s, and no difference
