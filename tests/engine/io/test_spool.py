"""The scratch file: lines come back in their order, the disk space is given back."""

import os

import numpy as np
import pytest

import mrd
from ferritin.errors import InputError, MemoryLimitError
from ferritin.io.spool import Spool, default_scratch


def test_lines_come_back_in_order(tmp_path):
    lines = mrd.random_images((3, 10, 4))
    spool = Spool(3, (6, 4), 4, tmp_path)
    spool.append(1, lines[:, :3])
    spool.append(0, lines[:, 4:6])
    spool.append(1, lines[:, 3:4])
    spool.append(0, lines[:, 6:])
    for coil in range(3):
        np.testing.assert_array_equal(spool.read(coil, 0), lines[coil, 4:])
        np.testing.assert_array_equal(spool.read(coil, 1), lines[coil, :4])
    assert spool.nbytes == 3 * 10 * 4 * 8


def test_file_has_no_name_and_is_closed(tmp_path):
    spool = Spool(1, (2,), 4, tmp_path)
    assert os.listdir(tmp_path) == []
    spool.close()
    with pytest.raises(InputError, match="was closed"):
        spool.append(0, np.zeros((1, 2, 4), np.complex64))
    spool.close()


def test_errors(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        Spool(1, (2,), 4, tmp_path / "nowhere")
    with pytest.raises(MemoryLimitError, match="TMPDIR"):
        Spool(10**6, (10**6,), 10**6, tmp_path)


def test_tmpdir_is_obeyed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert default_scratch() == str(tmp_path)
