"""Folders of images: what is found, in which order, with which metadata; and what is refused."""

import gzip
import json

import nibabel
import numpy as np
import pytest

import images
from ferritin.errors import (
    AmbiguousError,
    FerritinError,
    FormatError,
    HeaderError,
    InputError,
    MemoryLimitError,
    ShapeError,
)
from ferritin.io import read


def complaint(path, kind, **options):
    with pytest.raises(FerritinError) as caught:
        read(path, **options)
    assert isinstance(caught.value, kind), caught.value
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_one_file_an_echo(tmp_path, ending):
    signal = images.echoes()
    scan = read(images.folder(tmp_path, signal, ending=ending))
    assert scan.data["echoes"].dtype == np.complex64
    assert scan.data["echoes"].flags.c_contiguous
    np.testing.assert_allclose(scan.data["echoes"], signal, atol=1e-5)
    assert scan.te_s == (0.004, 0.009, 0.014)
    assert scan.b0_t == 3.0
    assert scan.shape == (12, 11, 10)
    np.testing.assert_allclose(scan.affine, images.AFFINE, rtol=1e-6)
    assert scan.data["noise_sd"] is None
    assert scan.provenance["subject"] == "01"
    assert len(scan.provenance["files"]) == 6
    assert scan.provenance["hash"].startswith("sha256:")


def test_one_file_with_all_echoes(tmp_path):
    signal = images.echoes()
    last = np.moveaxis(signal, 0, -1)
    images.save(tmp_path / "Mag.nii", np.abs(last).astype(np.float32))
    images.save(tmp_path / "Phase.nii", np.angle(last).astype(np.float32))
    scan = read(tmp_path, te_ms=[4, 8, 12], b0=7)
    np.testing.assert_allclose(scan.data["echoes"], signal, atol=1e-5)
    assert scan.te_s == pytest.approx((0.004, 0.008, 0.012))


def test_echo_times_of_a_series_in_one_sidecar(tmp_path):
    last = np.moveaxis(images.echoes(), 0, -1)
    both = {"EchoTime": [0.003, 0.007, 0.011], "MagneticFieldStrength": 3}
    images.save(tmp_path / "sub-1_part-mag_MEGRE.nii", np.abs(last).astype(np.float32), **both)
    images.save(tmp_path / "sub-1_part-phase_MEGRE.nii", np.angle(last).astype(np.float32), **both)
    assert read(tmp_path).te_s == (0.003, 0.007, 0.011)


def test_dataset_with_inherited_metadata(tmp_path):
    """Field strength at the root, echo times for each echo at the root, images without sidecars."""
    signal = images.echoes()
    anat = images.folder(tmp_path / "sub-01" / "ses-1" / "anat", signal, stem="sub-01_ses-1")
    for path in anat.glob("*.json"):
        path.unlink()
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "a", "BIDSVersion": "1.9.0"}))
    (tmp_path / "MEGRE.json").write_text(json.dumps({"MagneticFieldStrength": 7, "EchoTime": 99}))
    (tmp_path / "T1w.json").write_text(json.dumps({"MagneticFieldStrength": 1.5}))
    for e, te in enumerate((0.004, 0.009, 0.014), 1):
        (tmp_path / f"echo-{e}_MEGRE.json").write_text(json.dumps({"EchoTime": te}))
    for start in (tmp_path, tmp_path / "sub-01"):
        scan = read(start)
        assert scan.b0_t == 7
        assert scan.te_s == (0.004, 0.009, 0.014)
        np.testing.assert_allclose(scan.data["echoes"], signal, atol=1e-5)


def test_names_of_dcm2niix(tmp_path):
    signal = images.echoes()
    for e, (image, te) in enumerate(zip(signal, (0.004, 0.009, 0.014)), 1):
        both = {"EchoTime": te, "MagneticFieldStrength": 3, "Manufacturer": "Siemens"}
        images.save(tmp_path / f"gre_mag_e{e}.nii.gz", np.abs(image).astype(np.float32), **both)
        images.save(tmp_path / f"gre_e{e}_ph.nii.gz", np.angle(image).astype(np.float32), **both)
    np.testing.assert_allclose(read(tmp_path).data["echoes"], signal, atol=1e-5)


@pytest.mark.parametrize("types", [None, (["ORIGINAL", "PRIMARY", "M", "ND"], ["ORIGINAL", "PRIMARY", "P", "ND"])])
def test_magnitude_without_a_word_for_its_part(tmp_path, types):
    """As dcm2niix names them: only phase, real and imaginary images have a word."""
    signal = images.echoes()
    for e, (image, te) in enumerate(zip(signal, (0.004, 0.009, 0.014)), 1):
        mag = {"EchoTime": te, "MagneticFieldStrength": 3} | ({"ImageType": types[0]} if types else {})
        phase = mag | ({"ImageType": types[1]} if types else {})
        images.save(tmp_path / f"qsm_5_e{e}.nii.gz", np.abs(image).astype(np.float32), **mag)
        images.save(tmp_path / f"qsm_5_e{e}_ph.nii.gz", np.angle(image).astype(np.float32), **phase)
    np.testing.assert_allclose(read(tmp_path).data["echoes"], signal, atol=1e-5)


def test_image_type_decides_what_an_image_without_a_word_is(tmp_path):
    signal = images.echoes(1)
    both = {"EchoTime": 0.004, "MagneticFieldStrength": 3}
    parts = {
        "scan_e1": ("M", np.abs(signal[0])),
        "scan_e2": ("I", signal[0].imag),
        "scan_e1_ph": ("P", np.angle(signal[0])),
    }
    for name, (said, values) in parts.items():
        images.save(tmp_path / f"{name}.nii.gz", values.astype(np.float32), ImageType=["ORIGINAL", said], **both)
    scan = read(tmp_path)
    np.testing.assert_allclose(scan.data["echoes"], signal, atol=1e-5)
    assert any("scan_e2.nii.gz" in f.problem for f in scan.findings)


def test_derivatives_inside_the_input_are_not_read(tmp_path):
    images.folder(tmp_path, images.echoes())
    images.folder(tmp_path / "out" / "sub-01" / "anat", images.echoes(seed=1))
    with pytest.raises(AmbiguousError):
        read(tmp_path)
    (tmp_path / "out" / "dataset_description.json").write_text('{"Name": "maps", "DatasetType": "derivative"}')
    np.testing.assert_allclose(read(tmp_path).data["echoes"], images.echoes(), atol=1e-5)
    np.testing.assert_allclose(read(tmp_path / "out").data["echoes"], images.echoes(seed=1), atol=1e-5)


def test_what_is_asked_before_voxels_are_read(tmp_path):
    """A check that the headers suffice for sees them, and ends the reading before a truncated file is met."""
    images.folder(tmp_path, images.echoes())
    for file in tmp_path.glob("*.nii.gz"):
        file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:400]))

    def refuse(scan):
        raise MemoryLimitError(f"{scan.shape} x {scan.n_echoes}")

    with pytest.raises(MemoryLimitError, match=r"\(12, 11, 10\) x 3"):
        read(tmp_path, before_voxels=refuse)
    with pytest.raises(FormatError, match="truncated"):
        read(tmp_path, before_voxels=lambda scan: None)


def test_ten_echoes_are_not_sorted_as_words(tmp_path):
    signal = images.echoes(11, (6, 5, 4))
    scan = read(images.folder(tmp_path, signal, te_s=[0.002 * (e + 1) for e in range(11)]))
    np.testing.assert_allclose(scan.data["echoes"], signal, atol=1e-5)


def test_derivatives_and_other_images_are_left_alone(tmp_path):
    signal = images.echoes()
    images.folder(tmp_path / "sub-01" / "anat", signal)
    images.folder(tmp_path / "derivatives" / "other" / "sub-01" / "anat", signal)
    images.save(tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz", np.zeros((3, 3, 3), np.float32))
    scan = read(tmp_path)
    assert any("1 other images" in f.problem and "T1w" in f.problem for f in scan.findings)


def test_nan_voxels_become_zero_and_are_counted(tmp_path):
    signal = images.echoes()
    signal[1, 2, 3, 4] = np.nan
    images.folder(tmp_path, signal)
    scan = read(tmp_path)
    assert scan.data["echoes"][1, 2, 3, 4] == 0
    assert np.isfinite(scan.data["echoes"]).all()
    assert any(f.problem.startswith("1 voxels are NaN") for f in scan.findings)


def test_repair_of_a_header_is_a_finding_and_not_a_log_line(tmp_path, capfd):
    images.folder(tmp_path, images.echoes(), ending=".nii")
    path = tmp_path / "sub-01_echo-1_part-mag_MEGRE.nii"
    content = bytearray(path.read_bytes())
    content[252:254] = np.int16(203).tobytes()  # qform_code
    path.write_bytes(content)
    scan = read(tmp_path)
    assert any("qform_code 203 not valid" in f.problem and path.name in f.problem for f in scan.findings)
    assert capfd.readouterr().err == ""


def warnings(scan):
    return [str(f) for f in scan.findings if f.level != "info"]


def turned(path, degrees, codes):
    """A folder whose images have an sform turned about x, and a qform that is not; codes of sform and qform."""
    t, turn = np.deg2rad(degrees), np.eye(4)
    turn[1:3, 1:3] = [[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]
    for file in images.folder(path, images.echoes()).glob("*.nii.gz"):
        image = nibabel.load(file)
        image = nibabel.Nifti1Image(np.asanyarray(image.dataobj), images.AFFINE)
        image.set_qform(images.AFFINE if codes[1] else None, codes[1])
        image.set_sform(turn @ images.AFFINE, codes[0])
        nibabel.save(image, file)
    return read(path)


@pytest.mark.parametrize("code", [2, 4])
def test_orientation_of_the_scanner_and_not_of_a_registration(tmp_path, code):
    scan = turned(tmp_path, 25, (code, 1))
    np.testing.assert_allclose(scan.affine, images.AFFINE, atol=1e-5)
    np.testing.assert_allclose(scan.b0_dir, (0, 0, 1), atol=1e-6)
    (said,) = warnings(scan)
    assert f"sform (code {code}) and qform (code 1) put voxels" in said
    assert "the qform is taken" in said


@pytest.mark.parametrize(("codes", "level"), [((1, 1), "warning"), ((1, 2), "warning"), ((2, 0), "info")])
def test_doubtful_orientation_is_told(tmp_path, codes, level):
    """An sform that is alone and of no scanner is what many programs write: worth a word, not a warning."""
    scan = turned(tmp_path, 25, codes)
    t = np.deg2rad(25)
    np.testing.assert_allclose(scan.b0_dir, (0, np.sin(t), np.cos(t)), atol=1e-5)
    assert [f.level for f in scan.findings if "the sform is taken" in str(f)] == [level]


@pytest.mark.parametrize("codes", [(1, 0), (1, 1), (1, 2), (2, 1)])
def test_sound_orientation_is_no_finding(tmp_path, codes):
    assert warnings(turned(tmp_path, 0.001, codes)) == []


def test_slope_of_each_magnitude_file(tmp_path):
    signal = images.echoes()
    images.folder(tmp_path, signal)
    name = "sub-01_echo-2_part-mag_MEGRE.nii.gz"
    images.save(tmp_path / name, (np.abs(signal[1]) * 4).astype(np.float32), slope=0.25)
    np.testing.assert_allclose(read(tmp_path).data["echoes"], signal, atol=1e-5)


def test_frequency_and_readout_axis(tmp_path):
    images.folder(tmp_path, images.echoes())
    path = tmp_path / "sub-01_echo-1_part-mag_MEGRE.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"ImagingFrequency": 127.7, "InPlanePhaseEncodingDirectionDICOM": "ROW"}))
    scan = read(tmp_path)
    assert scan.f0_hz == 127.7e6
    assert scan.readout_axis == 1


def test_sign_remark_for_ge(tmp_path):
    images.folder(tmp_path, images.echoes())
    path = tmp_path / "sub-01_echo-1_part-mag_MEGRE.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"Manufacturer": "GE"}))
    assert any("--phase-sign -" in f.repair for f in read(tmp_path).findings)
    assert not any("--phase-sign" in f.repair for f in read(tmp_path, phase_sign="-").findings)


def test_input_files_are_not_touched(tmp_path):
    images.folder(tmp_path, images.echoes())
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    read(tmp_path)
    assert before == {p: p.read_bytes() for p in tmp_path.iterdir()}


def test_empty_folder(tmp_path):
    assert "no .nii" in complaint(tmp_path, InputError)


def test_magnitude_alone(tmp_path):
    images.folder(tmp_path, images.echoes())
    for path in tmp_path.glob("*part-phase*"):
        path.unlink()
    assert "part-phase" in complaint(tmp_path, InputError)


def test_a_phase_image_is_missing(tmp_path):
    images.folder(tmp_path, images.echoes())
    (tmp_path / "sub-01_echo-2_part-phase_MEGRE.nii.gz").unlink()
    assert "3 magnitude and 2 phase" in complaint(tmp_path, InputError)


@pytest.mark.parametrize(
    "stems", [("sub-01", "sub-02"), ("sub-01_ses-1", "sub-01_ses-2"), ("sub-01_run-1", "sub-01_run-2")]
)
def test_several_scans(tmp_path, stems):
    for stem in stems:
        images.folder(tmp_path / stem, images.echoes(), stem=stem)
    message = complaint(tmp_path, AmbiguousError)
    assert stems[0] in message
    assert "give the folder of one" in message
    assert read(tmp_path / stems[0]).n_echoes == 3


def test_shapes_that_differ(tmp_path):
    images.folder(tmp_path, images.echoes())
    images.save(tmp_path / "sub-01_echo-3_part-phase_MEGRE.nii.gz", np.zeros((12, 11, 9), np.float32))
    message = complaint(tmp_path, ShapeError)
    assert "(12, 11, 9)" in message
    assert "(12, 11, 10)" in message


def test_affines_that_differ(tmp_path):
    signal = images.echoes()
    images.folder(tmp_path, signal)
    moved = images.AFFINE.copy()
    moved[2, 3] += 0.2
    images.save(tmp_path / "sub-01_echo-3_part-phase_MEGRE.nii.gz", np.angle(signal[2]).astype(np.float32), moved)
    assert "0.2 mm" in complaint(tmp_path, ShapeError)


def test_no_echo_times(tmp_path):
    images.folder(tmp_path, images.echoes())
    for path in tmp_path.glob("*.json"):
        path.write_text(json.dumps({"MagneticFieldStrength": 3}))
    message = complaint(tmp_path, HeaderError)
    assert "--te-ms" in message
    assert read(tmp_path, te_ms=[4, 9, 14]).te_s == pytest.approx((0.004, 0.009, 0.014))


def test_no_field_strength(tmp_path):
    assert "--b0" in complaint(images.folder(tmp_path, images.echoes(), b0=None), HeaderError)
    assert read(tmp_path, b0=7).b0_t == 7


@pytest.mark.parametrize(
    ("te_s", "word"), [((0.004, 0.004, 0.009), "[4.0, 4.0, 9.0] ms"), ((4, 9, 14), "looks like ms")]
)
def test_echo_times_that_cannot_be(tmp_path, te_s, word):
    assert word in complaint(images.folder(tmp_path, images.echoes(), te_s=te_s), HeaderError)


def test_echo_times_of_magnitude_and_phase_that_differ(tmp_path):
    images.folder(tmp_path, images.echoes())
    path = tmp_path / "sub-01_echo-2_part-phase_MEGRE.json"
    path.write_text(json.dumps({"EchoTime": 0.01, "MagneticFieldStrength": 3}))
    assert "differ" in complaint(tmp_path, HeaderError)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "\x00\x01"])
def test_broken_sidecar(tmp_path, text):
    images.folder(tmp_path, images.echoes())
    (tmp_path / "sub-01_echo-2_part-phase_MEGRE.json").write_text(text)
    assert "mend the sidecar" in complaint(tmp_path, FormatError)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_truncated_image(tmp_path, ending, share):
    images.folder(tmp_path, images.echoes(), ending=ending)
    path = tmp_path / f"sub-01_echo-2_part-mag_MEGRE{ending}"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert path.name in complaint(tmp_path, FormatError)


def test_something_else_named_nii(tmp_path):
    images.folder(tmp_path, images.echoes())
    (tmp_path / "sub-01_echo-2_part-mag_MEGRE.nii.gz").write_bytes(b"no gzip at all" * 100)
    complaint(tmp_path, FormatError)


def test_coloured_image(tmp_path):
    images.folder(tmp_path, images.echoes(), ending=".nii")
    rgb = np.zeros((12, 11, 10), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.Nifti1Image(rgb, images.AFFINE).to_filename(tmp_path / "sub-01_echo-2_part-mag_MEGRE.nii")
    assert "expected numbers" in complaint(tmp_path, FormatError)


@pytest.mark.parametrize("size", [0, -5, 30000])
def test_absurd_dimensions(tmp_path, size):
    images.folder(tmp_path, images.echoes(), ending=".nii")
    path = tmp_path / "sub-01_echo-2_part-mag_MEGRE.nii"
    content = bytearray(path.read_bytes())
    content[42:44] = np.int16(size).tobytes()
    path.write_bytes(content)
    assert str(size) in complaint(tmp_path, InputError)


def test_a_nifti_file_instead_of_its_folder(tmp_path):
    images.folder(tmp_path, images.echoes(), ending=".nii")
    path = tmp_path / "sub-01_echo-1_part-mag_MEGRE.nii"
    assert "folder" in complaint(path, FormatError)
