"""`ferritin evaluate`: perfect maps score as such, known errors come out, and files of two grids are refused."""

import json

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from ferritin.errors import FerritinError
from ferritin.run.cli import cli

SHAPE = (20, 18, 16)
AFFINE = np.diag((2.0, 2.0, 2.0, 1.0))
TRUTH = np.random.default_rng(0).normal(0, 0.05, SHAPE).astype(np.float32)
MASK = np.zeros(SHAPE, np.uint8)
MASK[3:-3, 3:-3, 3:-3] = 1


def save(path, values, affine=AFFINE):
    nib.save(nib.Nifti1Image(values, affine), path)
    return str(path)


def evaluate(folder, found, *options, mask=MASK, affine=AFFINE):
    files = save(folder / "chi.nii.gz", found), save(folder / "truth.nii.gz", TRUTH, affine)
    files = *files, "--mask", save(folder / "mask.nii.gz", mask)
    result = CliRunner().invoke(cli, ["evaluate", *files, *options], catch_exceptions=False, standalone_mode=False)
    return result.output


def test_the_truth_itself_is_perfect(tmp_path):
    scores = json.loads(evaluate(tmp_path, TRUTH, "--json"))["metrics"]
    assert scores["nrmse"] == pytest.approx(0, abs=1e-4)
    assert scores["xsim_uniform5"] == pytest.approx(1)


def test_scale_turns_one_unit_into_another(tmp_path):
    hz = TRUTH * np.float32(298)
    assert json.loads(evaluate(tmp_path, hz, "--scale", f"{1 / 298}", "--json"))["metrics"]["nrmse"] < 1e-3
    assert "nrmse" in evaluate(tmp_path, hz)


def test_the_error_is_that_within_the_mask(tmp_path):
    found = 1.1 * TRUTH + np.float32(7) * (MASK == 0)
    assert json.loads(evaluate(tmp_path, found, "--json"))["metrics"]["nrmse"] == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"affine": np.diag((-2.0, 2.0, 2.0, 1.0))}, "lies 76 mm from"),
        ({"mask": MASK[1:]}, r"has shape \(19, 18, 16\)"),
        ({"mask": 0 * MASK}, "the mask is empty"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, given, word):
    with pytest.raises(FerritinError, match=word):
        evaluate(tmp_path, TRUTH, **given)


def test_labels_are_rounded_and_must_be_whole_numbers(tmp_path):
    """The scaling of a file leaves 5.999999 of a 6."""
    labels = np.where(MASK, 5 + (np.arange(SHAPE[0]) < 10)[:, None, None], 0).astype(np.float32)
    found = 1.1 * TRUTH

    def scored(values):
        return json.loads(evaluate(tmp_path, found, "--json", "--labels", save(tmp_path / "labels.nii.gz", values)))

    assert scored(labels)["regions"].keys() == {"dentate", "substantia_nigra"}
    assert scored((labels - 1e-6).astype(np.float32)) == scored(labels)
    for odd in (0.5, np.nan):
        with pytest.raises(FerritinError, match=f"not whole numbers, there is {odd}"):
            scored(np.where(labels == 5, odd, labels).astype(np.float32))


@pytest.mark.parametrize("scale", ["nan", "inf", "0"])
def test_a_scale_that_leaves_nothing_is_refused(tmp_path, scale):
    with pytest.raises(FerritinError, match=f"scale = {float(scale)}, expected a finite number"):
        evaluate(tmp_path, TRUTH, "--scale", scale)
