"""`ferritin inspect`: the facts of a file, without its samples."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import images
import mrd
from ferritin.run.commands.inspect import command


def inspect(*arguments):
    result = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_raw_file(tmp_path):
    said = json.loads(inspect(mrd.simple(tmp_path / "raw.h5", te_ms=(4, 9.5)), "--json"))
    expected = {
        "format": "ISMRMRD", "matrix": [6, 5, 4], "voxel_mm": [2, 2, 2], "coils": 2, "echoes": 2,
        "echo_times_ms": [4, 9.5], "field_strength_t": 3, "orientation": "LPS", "oblique_degrees": 0,
        "readout_polarity": "++", "acquisitions": 41, "lines": {"imaging": 40, "noise": 1},
        "encoded_matrix": [12, 5, 4], "oversampling": [2, 1, 1], "averages": 1, "partial_fourier": [1, 1],
        "samples_per_line": [12], "dwell_time_us": 5, "findings": [],
        "noise_scan": {"lines": 1, "samples": 128, "dwell_time_us": 5},
    }  # fmt: skip
    assert {k: said[k] for k in expected} == expected


def test_partial_fourier_and_asymmetric_echo(tmp_path):
    k = mrd.kspace(mrd.random_images((1, 1, 6, 8, 4)), (12, 8, 4))
    lines = [line for line in mrd.imaging_lines(k[:, :, 3:]) if line.ky >= 2]
    for line in lines:
        line.center = 3
    xml = mrd.header((12, 8, 4), (6, 8, 4), fov_encoded=(12, 8, 4), fov_recon=(6, 8, 4), te_ms=[4])
    said = json.loads(inspect(mrd.write(tmp_path / "raw.h5", xml, lines), "--json"))
    assert said["partial_fourier"] == [0.75, 1]
    assert said["lines_measured"] == 0.75
    assert said["echo_centre_in_line"] == [0.3333]
    assert any("no noise scan" in f["problem"] for f in said["findings"])


def test_samples_are_not_read(tmp_path):
    """A file whose samples are all NaN is described like any other."""
    k = np.full((1, 1, 12, 5, 4), np.nan, np.complex64)
    xml = mrd.header((12, 5, 4), (6, 5, 4), fov_encoded=(12, 5, 4), fov_recon=(6, 5, 4), te_ms=[4])
    assert json.loads(inspect(mrd.write(tmp_path / "raw.h5", xml, mrd.imaging_lines(k)), "--json"))["coils"] == 1


def test_images(tmp_path):
    said = json.loads(inspect(images.folder(tmp_path, images.echoes()), "--json"))
    assert said["format"] == "NIfTI"
    assert said["matrix"] == [12, 11, 10]
    assert said["echo_times_ms"] == [4, 9, 14]
    assert said["voxel_mm"] == pytest.approx([1.5, 2, 3])
    assert len(said["provenance"]["files"]) == 6


def test_missing_facts_can_be_given(tmp_path):
    images.folder(tmp_path, images.echoes(), b0=None)
    assert json.loads(inspect(tmp_path, "--json", "--b0", "7"))["field_strength_t"] == 7


def test_table_on_a_terminal(tmp_path):
    text = inspect(mrd.simple(tmp_path / "raw.h5"))
    assert "echo times ms" in text
    assert "imaging 40, noise 1" in text
