"""Iron by calibration and by age, and the table of regions, against numbers worked out by hand or by numpy."""

import csv
import io
import json

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from ferritin import iron
from ferritin.errors import FerritinError, FormatError, HeaderError, InputError, ParameterError, ShapeError
from ferritin.run.cli import cli
from ferritin.scan import Scan

SHAPE = (8, 7, 6)
AFFINE = np.diag((1.0, 1.5, 2.0, 1.0))
MASK = np.ones(SHAPE, bool)


def scan_at(b0_t):
    return Scan((), b0_t, AFFINE, SHAPE)


@pytest.mark.parametrize(("b0_t", "slope"), [(3.0, 0.27), (7.0, 0.63)])
def test_iron_from_r2star_undoes_the_line(b0_t, slope):
    content = np.linspace(0, 250, np.prod(SHAPE)).reshape(SHAPE)
    found, record = iron.r2star(14.3 + slope * content, MASK, scan_at(b0_t))
    np.testing.assert_allclose(found, content, atol=1e-3)
    assert "grey matter" in record.notes[0]


def test_iron_from_susceptibility_undoes_the_line():
    content = np.linspace(0, 250, np.prod(SHAPE)).reshape(SHAPE)
    found, _ = iron.chi(0.02 + 0.89e-3 * content, MASK, scan_at(3.0), reference=0.02)
    np.testing.assert_allclose(found, content, atol=1e-3)


def test_values_below_the_line_are_zero_and_counted():
    rate = np.full(SHAPE, 10.0)
    rate[0] = 41.3
    found, record = iron.r2star(rate, MASK, scan_at(3.0))
    assert found[0] == pytest.approx(100)
    assert not found[1:].any()
    assert "87.5 %" in record.notes[1]


def test_the_field_strength_and_the_slope_must_make_sense():
    rate = np.ones(SHAPE, np.float32)
    with pytest.raises(HeaderError, match="--b0"):
        iron.r2star(rate, MASK, scan_at(None))
    assert iron.r2star(100 * rate, MASK, scan_at(None), slope=0.5).iron.max() == pytest.approx((100 - 14.3) / 0.5)
    for bad in (iron.r2star, iron.chi):
        with pytest.raises(ParameterError, match="slope"):
            bad(rate, MASK, scan_at(3.0), slope=0.0)


def test_iron_by_age_is_that_of_hallgren_and_sourander():
    """At 40 years, in mg per 100 g: pallidum 21.41(1 − e^−3.6) + 0.37 = 21.2, and so on."""
    expected = {"globus_pallidus": 212.0, "putamen": 121.3, "caudate": 86.8, "frontal_white_matter": 41.9}
    for region, value in expected.items():
        assert iron.expected_iron(region, 40) == pytest.approx(value, abs=0.1)
        assert iron.expected_iron(region, 0) == pytest.approx(iron.CURVES[region][2])
    with pytest.raises(ParameterError, match="there are globus_pallidus"):
        iron.expected_iron("pons", 40)
    with pytest.raises(ParameterError, match="age"):
        iron.expected_iron("putamen", -1)


def volume_and_labels():
    rng = np.random.default_rng(0)
    return rng.normal(50, 10, SHAPE).astype(np.float32), rng.integers(0, 4, SHAPE)


def test_rows_are_what_numpy_finds_in_each_label():
    volume, labels = volume_and_labels()
    volume[0, 0, 0], labels[0, 0, 0] = np.nan, 1
    rows = iron.region_table(volume, labels, (1.0, 1.5, 2.0), {2: "putamen"})
    assert [row["label"] for row in rows] == [1, 2, 3]
    assert [row["name"] for row in rows] == ["", "putamen", ""]
    for row in rows:
        inside = volume[(labels == row["label"]) & np.isfinite(volume)].astype(float)
        assert row["voxels"] == inside.size
        assert row["volume_mm3"] == pytest.approx(3 * inside.size)
        assert row["mean"] == pytest.approx(inside.mean())
        assert row["sd"] == pytest.approx(inside.std(ddof=1))
        assert row["median"] == pytest.approx(np.median(inside))


def test_a_label_of_one_voxel_has_no_spread_and_one_outside_the_mask_no_mean():
    volume, labels, mask = np.ones(SHAPE), np.zeros(SHAPE, int), MASK.copy()
    labels[0, 0, 0], labels[1, 0, 0] = 5, 9
    mask[1] = False
    one, none = iron.region_table(volume, labels, (1, 1, 1), mask=mask)
    assert (one["voxels"], one["mean"]) == (1, 1.0)
    assert np.isnan(one["sd"])
    assert none["voxels"] == 0
    assert np.isnan(none["mean"])


def test_labels_that_are_none_are_refused():
    volume, labels = volume_and_labels()
    with pytest.raises(ShapeError, match="resample"):
        iron.region_table(volume, labels[1:], (1, 1, 1))
    with pytest.raises(InputError, match="whole numbers"):
        iron.region_table(volume, labels + 0.5, (1, 1, 1))
    with pytest.raises(InputError, match="no label above 0"):
        iron.region_table(volume, 0 * labels, (1, 1, 1))


def call(*args):
    result = CliRunner().invoke(cli, list(map(str, args)))
    if isinstance(result.exception, FerritinError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def save(folder, **volumes):
    for name, values in volumes.items():
        nib.save(nib.Nifti1Image(values, AFFINE), folder / f"{name}.nii.gz")


def test_the_command_roi_prints_a_table(tmp_path):
    volume, labels = volume_and_labels()
    save(tmp_path, map=volume, labels=labels.astype(np.int16))
    (tmp_path / "names.tsv").write_text("index\tname\n1\tcaudate\n3\tputamen\n")
    said = call("roi", tmp_path / "map.nii.gz", tmp_path / "labels.nii.gz", "--names", tmp_path / "names.tsv")
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [row["name"] for row in rows] == ["caudate", "", "putamen"]
    assert float(rows[0]["mean"]) == pytest.approx(volume[labels == 1].mean(), rel=1e-5)
    call("roi", tmp_path / "map.nii.gz", tmp_path / "labels.nii.gz", "--json", "-o", tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())[1]["voxels"] == (labels == 2).sum()
    (tmp_path / "names.tsv").write_text("number,title\n1,caudate\n")
    with pytest.raises(FormatError, match="columns index and name"):
        call("roi", tmp_path / "map.nii.gz", tmp_path / "labels.nii.gz", "--names", tmp_path / "names.tsv")


def test_the_command_iron_writes_a_map(tmp_path):
    save(tmp_path, r2star=np.full(SHAPE, 68.3, np.float32), mask=MASK.astype(np.uint8))
    given = ["iron", tmp_path / "r2star.nii.gz", "--from", "r2star", "--mask", tmp_path / "mask.nii.gz"]
    said = call(*given, "--b0", 3, "-o", tmp_path / "out")
    assert "grey matter" in said
    assert np.asarray(nib.load(tmp_path / "out" / "iron.nii.gz").dataobj) == pytest.approx(200, rel=1e-4)
    call(*given, "--slope", 0.5, "--zero", 18.3, "-o", tmp_path / "out")
    assert np.asarray(nib.load(tmp_path / "out" / "iron.nii.gz").dataobj) == pytest.approx(100, rel=1e-4)
