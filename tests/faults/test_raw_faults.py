"""Raw files that cannot be used: each gives one line with the file, the value and the remedy."""

import re
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import mrd
from ferritin.errors import AmbiguousError, FerritinError, FormatError, HeaderError, InputError
from ferritin.io import read
from ferritin.kspace.cartesian import cartesian


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.h5"


def complaint(path, kind, *, image=False, **options):
    """The message of the one error that reading (and imaging) gives, checked for what every message must have."""
    with pytest.raises(FerritinError) as caught:
        attempt(path, image, options)
    message = str(caught.value)
    assert isinstance(caught.value, kind)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 400
    assert re.search(r"[;,:(] ?\w+", message.replace(str(path), ""))
    return message


def attempt(path, image, options):
    scan = read(path, **options)
    if image:
        cartesian(scan.data["raw"], scan)


def edit_xml(path, old, new):
    mrd.simple(path)
    with h5py.File(path, "r+") as f:
        xml = f["dataset/xml"][0].decode()
        assert re.search(old, xml, re.DOTALL)
        f["dataset/xml"][0] = re.sub(old, new, xml, count=1, flags=re.DOTALL)
    return path


def with_lines(path, change, n_coils=2, **head):
    """A small scan whose imaging lines went through `change` (a list to a list)."""
    k = mrd.kspace(mrd.random_images((n_coils, 2, 6, 5, 4)), (12, 5, 4))
    xml = mrd.header(
        (12, 5, 4), (6, 5, 4), fov_encoded=(12, 5, 4), fov_recon=(6, 5, 4), **({"centers": (2, 2)} | head)
    )  # fmt: skip
    return mrd.write(path, xml, change(mrd.imaging_lines(k)))


def test_missing_file(path):
    assert "is not there" in complaint(path, InputError)


def test_empty_file(path):
    path.touch()
    assert "0 bytes" in complaint(path, FormatError)


def test_not_hdf5(path):
    path.write_bytes(b"this is a text, not a scan\n" * 100)
    message = complaint(path, FormatError)
    assert "not an HDF5 file" in message
    assert "expected ISMRMRD" in message


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.98])
def test_truncated_file(path, share):
    content = mrd.simple(path).read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated or damaged" in complaint(path, FormatError, image=True)


def test_samples_overwritten_with_rubbish(path):
    """The HDF5 structure of the samples is destroyed in the middle of the file."""
    content = bytearray(mrd.simple(path, shape=(32, 16, 8)).read_bytes())
    first = content.index(b"GCOL") + 100
    content[first + 20000 : first + 60000] = b"\xaa" * 40000
    path.write_bytes(content)
    complaint(path, FormatError, image=True)


def test_another_hdf5_file(path):
    with h5py.File(path, "w") as f:
        f["image"] = np.zeros((3, 3))
    message = complaint(path, FormatError)
    assert "holds ['image']" in message
    assert "'xml' and 'data'" in message


def test_dataset_of_something_else(path):
    with h5py.File(path, "w") as f:
        f["dataset/xml"], f["dataset/data"] = [b"<a/>"], np.zeros(4)
    assert "'head' and 'data'" in complaint(path, FormatError)


@pytest.mark.parametrize("what", ["xml", "data"])
def test_group_in_the_place_of_a_dataset(path, what):
    with h5py.File(mrd.simple(path), "r+") as f:
        del f[f"dataset/{what}"]
        f.create_group(f"dataset/{what}")
    assert f"'dataset/{what}' does not hold" in complaint(path, FormatError)


def test_header_without_text(path):
    with h5py.File(mrd.simple(path), "r+") as f:
        del f["dataset/xml"]
        f.create_dataset("dataset/xml", (0,), dtype=h5py.special_dtype(vlen=bytes))
    assert "'dataset/xml' does not hold a header" in complaint(path, FormatError)


def test_two_scans_in_one_file(path):
    with h5py.File(mrd.simple(path), "r+") as f:
        f.copy("dataset", "dataset_1")
    message = complaint(path, AmbiguousError)
    assert "dataset with 41 acquisitions, dataset_1 with 41 acquisitions" in message


def test_no_acquisition(path):
    xml = mrd.header((12, 5, 4), (6, 5, 4), fov_encoded=(12, 5, 4), fov_recon=(6, 5, 4))
    assert "no acquisition" in complaint(mrd.write(path, xml, []), FormatError)


def test_only_noise(path):
    noise = mrd.noise_line(2, np.random.default_rng(0))
    assert "no imaging line" in complaint(with_lines(path, lambda lines: [noise]), InputError)


def test_no_echo_times(path):
    message = complaint(edit_xml(path, "<TE>.*</TE>", ""), HeaderError)
    assert "no echo times" in message
    assert "--te-ms" in message
    assert read(path, te_ms=[4, 9]).n_echoes == 2


def test_two_equal_echo_times(path):
    message = complaint(edit_xml(path, "<TE>9</TE>", "<TE>4</TE>"), HeaderError)
    assert "[4.0, 4.0] ms" in message
    assert "--te-ms" in message


def test_falling_echo_times(path):
    assert "[14.0, 9.0] ms" in complaint(edit_xml(path, "<TE>4</TE>", "<TE>14</TE>"), HeaderError)


def test_echo_times_in_seconds(path):
    message = complaint(edit_xml(path, "<TE>4</TE><TE>9</TE>", "<TE>0.004</TE><TE>0.009</TE>"), HeaderError)
    assert "look like seconds" in message


@pytest.mark.parametrize("value", ["", "four", "nan", "1e999"])
def test_echo_time_that_is_no_number(path, value):
    message = complaint(edit_xml(path, "<TE>4</TE>", f"<TE>{value}</TE>"), HeaderError)
    assert f"'{value}'" in message


def test_contrast_beyond_the_echo_times(path):
    message = complaint(edit_xml(path, "<TE>9</TE>", ""), HeaderError)
    assert "2 echoes" in message
    assert "[4.0] ms" in message


def test_wrong_number_of_given_echo_times(path):
    assert "2 echoes" in complaint(mrd.simple(path), HeaderError, te_ms=[4, 8, 12])


@pytest.mark.parametrize("trajectory", ["radial", "spiral", "epi"])
def test_not_cartesian(path, trajectory):
    message = complaint(edit_xml(path, "<trajectory>cartesian", f"<trajectory>{trajectory}"), InputError)
    assert f"'{trajectory}'" in message
    assert "expected cartesian" in message


@pytest.mark.parametrize("size", ["0", "-4", "100000", "8000000000000000000000"])
def test_absurd_matrix_size(path, size):
    message = complaint(edit_xml(path, "<y>5</y>", f"<y>{size}</y>"), HeaderError)
    assert size in message or str(int(float(size))) in message
    assert "mend the XML header" in message


def test_large_matrix_of_few_lines(path):
    """A plausible size that the lines do not fill must not be believed, nor memory taken for it."""
    edit_xml(path, "<y>5</y><z>4</z>", "<y>2000</y><z>1000</z>")
    assert "of 2000 are measured" in complaint(path, InputError)


@pytest.mark.parametrize("size", ["0", "-12", "1e9", "inf"])
def test_absurd_field_of_view(path, size):
    assert "expected" in complaint(edit_xml(path, "(<fieldOfView_mm><x>)[^<]*", rf"\g<1>{size}"), HeaderError)


def test_no_field_strength(path):
    message = complaint(mrd.simple(path, b0=None), HeaderError)
    assert "no field strength" in message
    assert "--b0" in message


@pytest.mark.parametrize("value", ["0", "70", "-3"])
def test_absurd_field_strength(path, value):
    edit_xml(path, "<systemFieldStrength_T>3.0", f"<systemFieldStrength_T>{value}")
    assert "--b0" in complaint(path, HeaderError)


def test_field_strength_against_frequency(path):
    edit_xml(path, "<systemFieldStrength_T>3.0", "<systemFieldStrength_T>7.0")
    assert "disagree" in complaint(path, HeaderError)


def test_broken_xml(path):
    message = complaint(edit_xml(path, "</encoding>", ""), FormatError)
    assert "cannot be parsed" in message
    assert "mismatched tag" in message


def test_xml_without_encoding(path):
    assert "<encoding>" in complaint(edit_xml(path, "<encoding>.*</encoding>", ""), HeaderError)


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;"><!ENTITY z "&y;&y;&y;&y;&y;&y;">]>',
        '<!DOCTYPE a SYSTEM "http://example.org/a.dtd">',
    ],
)
def test_xml_with_entities(path, doctype):
    message = complaint(edit_xml(path, r'(<\?xml version="1.0"\?>)', rf"\1{doctype}"), FormatError)
    assert "refused" in message
    assert "DOCTYPE" in message


def test_xml_without_end(path):
    assert "at most" in complaint(edit_xml(path, "<TR>30</TR>", "<TR>30</TR>" + " " * (17 << 20)), FormatError)


@pytest.mark.parametrize("bad", [np.nan, np.inf, complex(0, np.nan)])
def test_bad_samples(path, bad):
    def spoil(lines):
        lines[7].data = lines[7].data.copy()
        lines[7].data[1, 3:5] = bad
        return lines

    message = complaint(with_lines(path, spoil), FormatError, image=True)
    assert "2 NaN or infinite samples" in message
    assert "acquisition 7" in message


def test_bad_noise_samples(path):
    noise = mrd.noise_line(2, np.random.default_rng(0))
    noise.data[0, 0] = np.nan
    assert "NaN" in complaint(with_lines(path, lambda lines: [noise, *lines]), FormatError, image=True)


def test_one_missing_line(path):
    message = complaint(with_lines(path, lambda lines: [a for a in lines if (a.ky, a.kz) != (1, 2)]), InputError)
    assert "1 of 20 lines are missing" in message
    assert "step 1, 2" in message


def test_lines_of_one_echo_missing(path):
    message = complaint(with_lines(path, lambda lines: lines[:-1]), InputError)
    assert "[20, 19]" in message


def test_scan_stopped_early(path):
    message = complaint(with_lines(path, lambda lines: lines[: len(lines) // 4]), InputError)
    assert "without the centre" in message


def test_lines_outside_the_matrix(path):
    assert "encodingLimits" in complaint(with_lines(path, lambda lines: lines, centers=(60, 2)), HeaderError)


@pytest.mark.parametrize("centers", [(0, 8), (16, 0), (0, 0)])
def test_centre_left_at_zero(path, centers):
    """A complete scan of which half would be dropped."""
    message = complaint(mrd.simple(path, n_coils=1, shape=(4, 32, 16), te_ms=[4], centers=centers), HeaderError)
    n_outside = 32 * 16 - (16 if centers[0] == 0 else 32) * (8 if centers[1] == 0 else 16)
    assert f"{n_outside} of 512 lines lie outside the encoded matrix 32 x 16" in message
    assert f"centre {centers[0]}, {centers[1]}" in message
    assert "<center>" in message


def test_lines_on_one_side_of_the_centre_only(path):
    def half(lines):
        return [line for line in lines if line.ky < 16]

    k = mrd.kspace(mrd.random_images((1, 1, 4, 32, 4)), (8, 32, 4))
    xml = mrd.header((8, 32, 4), (4, 32, 4), fov_encoded=(8, 32, 4), fov_recon=(4, 32, 4), te_ms=[4], centers=(0, 2))
    message = complaint(mrd.write(path, xml, half(mrd.imaging_lines(k))), HeaderError)
    assert "ky has 0 steps before and 15 after its centre of 32 steps, expected at least 2" in message


def test_partial_fourier_of_five_eighths(path):
    k = mrd.kspace(mrd.random_images((1, 1, 4, 32, 4)), (8, 32, 4))
    xml = mrd.header((8, 32, 4), (4, 32, 4), fov_encoded=(8, 32, 4), fov_recon=(4, 32, 4), te_ms=[4])
    lines = [line for line in mrd.imaging_lines(k) if line.ky < 20]
    assert read(mrd.write(path, xml, lines)).data["raw"].coverage.partial_fourier == (20 / 32, 1.0)


def readout(path, first, stop, n_encoded=64, **head):
    """Lines that hold samples `first` to `stop` - 1 of a readout of 64 that is oversampled twice."""
    k = mrd.kspace(mrd.random_images((1, 1, 32, 5, 4)), (64, 5, 4))[:, :, first:stop]
    fov = 2 * n_encoded
    xml = mrd.header((n_encoded, 5, 4), (32, 5, 4), fov_encoded=(fov, 5, 4), fov_recon=(64, 5, 4), te_ms=[4])
    return mrd.write(path, xml, mrd.imaging_lines(k, **head))


@pytest.mark.parametrize("head", [{"center": 70}, {"pre": 40}, {"post": 32}, {"pre": 5, "post": 60000}])
def test_centre_outside_the_readout(path, head):
    message = complaint(readout(path, 0, 64, **head), HeaderError)
    assert "20 of 20 lines" in message
    assert "center_sample" in message


@pytest.mark.parametrize("center", [16, None])
def test_oversampling_removed_from_the_samples_alone(path, center):
    message = complaint(readout(path, 16, 48, center=center), HeaderError)
    assert "samples 0 to 31 around centre 16, 64 are expected" in message
    assert "mend encodedSpace to 32 steps" in message


def test_readout_of_too_few_samples(path):
    assert "at least 40 % of the 64" in complaint(readout(path, 20, 44, center=12), HeaderError)


def test_readout_that_is_short_on_both_sides(path):
    assert "22 samples before and 21 after" in str(read(readout(path, 10, 54)).findings)


def test_centre_at_the_end_of_the_readout(path):
    assert "expected at least 3 on both sides" in complaint(readout(path, 0, 64, center=63), HeaderError)


def test_centre_that_does_not_fit_a_full_readout(path):
    assert "44 samples before and 19 after" in str(read(readout(path, 0, 64, center=44)).findings)


def test_asymmetric_echo_is_no_fault(path):
    assert "samples before" not in str(read(readout(path, 12, 64, center=20)).findings)


def test_echo_without_lines(path):
    message = complaint(with_lines(path, lambda lines: [a for a in lines if a.echo == 1]), InputError)
    assert "echoes [1] of 2" in message


def test_one_line_of_an_absurd_echo(path):
    def spoil(lines):
        lines[5].echo = 65535
        return lines

    message = complaint(with_lines(path, spoil), InputError)
    assert "echoes [3, 4, 5, 6, 7, 8, 9, 10, ...] of 65536" in message


@pytest.mark.parametrize("said", [1, 2])
def test_undersampled(path, said):
    k = mrd.kspace(mrd.random_images((2, 1, 6, 16, 4)), (12, 16, 4))
    xml = mrd.header(
        (12, 16, 4), (6, 16, 4), fov_encoded=(12, 16, 4), fov_recon=(6, 16, 4), te_ms=[4], acceleration=said
    )  # fmt: skip
    lines = [a for a in mrd.imaging_lines(k) if a.ky % 2 == 0]
    message = complaint(mrd.write(path, xml, lines), InputError)
    assert "R = 2 x 1" in message if said == 2 else "about R = 1.9" in message
    assert "not supported yet" in message


def test_fewer_numbers_than_the_header_says(path):
    mrd.simple(path)
    with h5py.File(path, "r+") as f:
        record = f["dataset/data"][5]
        record["head"]["number_of_samples"] = 99
        f["dataset/data"][5] = record
    message = complaint(path, FormatError, image=True)
    assert "acquisition 5" in message
    assert "99 samples" in message


def test_channels_that_change(path):
    def drop(lines):
        lines[3].data = lines[3].data[:1]
        return lines

    assert "[1, 2] channels" in complaint(with_lines(path, drop), FormatError)


def test_orientation_that_changes(path):
    def turn(lines):
        lines[3].directions = np.eye(3)[[1, 0, 2]]
        return lines

    assert "orientation changes" in complaint(with_lines(path, turn), HeaderError)


def test_directions_that_are_not_perpendicular(path):
    def skew(lines):
        for line in lines:
            line.directions = np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]])
        return lines

    assert "perpendicular" in complaint(with_lines(path, skew), HeaderError)


@pytest.mark.parametrize("polarity", ["+x", "", "0"])
def test_polarity_that_is_no_sign(path, polarity):
    mrd.simple(path)
    with pytest.raises(FerritinError, match="made of \\+ and -"):
        read(path, polarity=polarity)


def test_polarity_of_another_number_of_echoes(path):
    assert "polarity" in complaint(mrd.simple(path), InputError, polarity="+-+")


def test_full_scratch_disk(path, monkeypatch):
    scan = read(mrd.simple(path))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(MemoryError, match="TMPDIR"):
        cartesian(scan.data["raw"], scan)


def test_scratch_folder_that_is_not_there(path, tmp_path):
    scan = read(mrd.simple(path))
    with pytest.raises(InputError, match="scratch folder"):
        cartesian(scan.data["raw"], scan, scratch=str(tmp_path / "nowhere"))
