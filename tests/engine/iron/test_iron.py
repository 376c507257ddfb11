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


def test_labels_may_be_of_any_size():
    """The table grows with their number, not with their size."""
    volume, labels = volume_and_labels()
    small, large = (iron.region_table(volume, k * labels, (1.0, 1.5, 2.0)) for k in (1, 16_000_000_000))
    for row, same in zip(large, small):
        assert row == same | {"label": 16_000_000_000 * same["label"]}


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


def elsewhere(move):
    """The affine of the same box stored the other way along x, or 40 mm higher."""
    affine = AFFINE.copy()
    if move == "flip":
        affine[0, 0], affine[0, 3] = -1.0, SHAPE[0] - 1.0
    else:
        affine[2, 3] = 40.0
    return affine


@pytest.fixture
def table(tmp_path):
    """A folder with a map, labels and a mask, and what `roi` says of them."""
    volume, labels = volume_and_labels()
    save(tmp_path, map=volume, labels=labels.astype(np.int16), mask=MASK.astype(np.uint8))

    def roi(*args):
        return call("roi", tmp_path / "map.nii.gz", tmp_path / "labels.nii.gz", *args)

    return tmp_path, roi


def said_of(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("move", ["flip", "shift"])
def test_labels_and_masks_that_lie_elsewhere_are_refused(table, move):
    folder, roi = table
    mask, labels = folder / "mask.nii.gz", folder / "labels.nii.gz"
    nib.save(nib.Nifti1Image(MASK.astype(np.uint8), elsewhere(move)), mask)
    where = r"lies (7|40) mm from .*map.nii.gz by its affine"
    with pytest.raises(ShapeError, match=f"mask.nii.gz {where}"):
        roi("--mask", mask)
    with pytest.raises(ShapeError, match=f"mask.nii.gz {where}"):
        call("iron", folder / "map.nii.gz", "--from", "chi", "--mask", mask, "-o", folder / "out")
    nib.save(nib.Nifti1Image(volume_and_labels()[1].astype(np.int16), elsewhere(move)), labels)
    with pytest.raises(ShapeError, match=f"labels.nii.gz {where}"):
        roi()
    assert not (folder / "out").exists()


def test_zeros_count_only_where_a_mask_says_so(table):
    folder, roi = table
    volume, labels = volume_and_labels()
    volume[:3] = 0
    save(folder, map=volume)
    result = CliRunner().invoke(cli, ["roi", str(folder / "map.nii.gz"), str(folder / "labels.nii.gz")])
    assert result.stderr.startswith(f"{(labels[:3] > 0).sum()} voxels with a label are exactly 0 in ")
    for row, label in zip(said_of(result.stdout), (1, 2, 3)):
        assert int(row["voxels"]) == (labels[3:] == label).sum()
        assert float(row["mean"]) == pytest.approx(volume[3:][labels[3:] == label].mean(), rel=1e-5)
    for row, label in zip(said_of(roi("--mask", folder / "mask.nii.gz")), (1, 2, 3)):
        assert int(row["voxels"]) == (labels == label).sum()
        assert float(row["mean"]) == pytest.approx(volume[labels == label].mean(), rel=1e-5)
    save(folder, map=0 * volume)
    with pytest.raises(InputError, match="is 0 in all"):
        roi()


def test_the_file_that_does_not_fit_is_named(table):
    folder, roi = table
    mask = folder / "mask.nii.gz"
    save(folder, mask=MASK[1:].astype(np.uint8))
    with pytest.raises(ShapeError, match=r"mask.nii.gz has shape \(7, 7, 6\), .*map.nii.gz has \(8, 7, 6\)"):
        roi("--mask", mask)
    save(folder, mask=0 * MASK.astype(np.uint8))
    with pytest.raises(InputError, match=r"mask.nii.gz: the mask is empty"):
        roi("--mask", mask)
    with pytest.raises(InputError, match=r"none.nii.gz is not there; expected a NIfTI file"):
        roi("--mask", folder / "none.nii.gz")
    save(folder, labels=np.zeros((*SHAPE, 2), np.int16))
    with pytest.raises(ShapeError, match=r"labels.nii.gz holds 2 volumes"):
        roi()
    for args in ((folder / "none.nii.gz", folder / "labels.nii.gz"), (folder / "map.nii.gz", folder / "none.nii.gz")):
        with pytest.raises(InputError, match=r"none.nii.gz is not there; expected a NIfTI file"):
            call("roi", *args)


def test_a_table_of_nothing_is_refused():
    volume, labels = volume_and_labels()
    with pytest.raises(ShapeError, match=r"the mask has shape \(7, 7, 6\)"):
        iron.region_table(volume, labels, (1, 1, 1), mask=MASK[1:])
    for values, mask in ((volume, ~MASK), (volume, labels == 0), (np.full(SHAPE, np.nan), None)):
        with pytest.raises(InputError, match=f"none of the {(labels > 0).sum()} voxels with a label counts"):
            iron.region_table(values, labels, (1, 1, 1), mask=mask)
    with pytest.raises(InputError, match="whole numbers"):
        iron.region_table(volume, np.where(labels == 2, np.nan, labels), (1, 1, 1))


def test_a_table_goes_where_it_can_be_written(table):
    folder, roi = table
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    for place, word in (
        (folder, "is a folder, expected a file"),
        (folder / "none" / "t.csv", "none is not a folder"),
        (folder / "map.nii.gz" / "t.csv", "map.nii.gz is not a folder"),
        (folder / "map.nii.gz", "is an input and would be overwritten"),
        (folder / ("x" * 300), "cannot be written"),
    ):
        with pytest.raises(InputError, match=word):
            roi("-o", place)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize(
    "text",
    ["", "index\tname\n", "1 caudate\n2 putamen\n", "1\tcaudate\n2\tputamen\n", "index,name\n1\n", "index,name\na,b\n"],
)
def test_a_text_that_holds_no_names_is_refused(table, text):
    folder, roi = table
    (folder / "names.tsv").write_text(text)
    with pytest.raises(FormatError, match="needs the columns index and name"):
        roi("--names", folder / "names.tsv")


def test_iron_of_nothing_is_refused_and_nothing_is_written(tmp_path):
    rate, mask = np.full(SHAPE, 68.3, np.float32), MASK.astype(np.uint8)
    given = ["iron", tmp_path / "map.nii.gz", "--from", "r2star", "--mask", tmp_path / "mask.nii.gz", "--b0", 3]
    for values, inside, word in (
        (np.nan * rate, mask, "map.nii.gz holds no finite value inside the mask"),
        (rate, 0 * mask, "mask.nii.gz: the mask is empty"),
    ):
        save(tmp_path, map=values, mask=inside)
        with pytest.raises(InputError, match=word):
            call(*given, "-o", tmp_path / "out")
    save(tmp_path, map=rate, mask=mask)
    with pytest.raises(InputError, match=r"map.nii.gz is a file, expected a folder"):
        call(*given, "-o", tmp_path / "map.nii.gz")
    (tmp_path / "mask.nii.gz").unlink()
    with pytest.raises(InputError, match=r"mask.nii.gz is not there; expected a NIfTI file"):
        call(*given, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
