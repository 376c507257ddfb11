"""`ferritin recon` on input that cannot be used: one line on stderr, exit status 1, and nothing under OUT."""

import re

import h5py
import nibabel
import numpy as np
import pytest

import images
import mrd
from ferritin.run.cli import main


def sound(path):
    return mrd.simple(path, shape=(16, 16, 16))


def edited(pattern, new):
    def make(path):
        sound(path)
        with h5py.File(path, "r+") as f:
            f["dataset/xml"][0] = re.sub(pattern, new, f["dataset/xml"][0].decode(), count=1)

    return make


def truncated(path):
    content = sound(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def nan_samples(path):
    sound(path)
    with h5py.File(path, "r+") as f:
        record = f["dataset/data"][9]
        record["data"] = np.full_like(record["data"], np.nan)
        f["dataset/data"][9] = record


FAULTS = {
    "missing file": (lambda path: None, "is not there"),
    "not HDF5": (lambda path: path.write_bytes(b"a text " * 99), "not an HDF5 file"),
    "truncated": (truncated, "truncated or damaged"),
    "no echo times": (edited("<TE>.*</TE>", ""), "--te-ms"),
    "equal echo times": (edited("<TE>9</TE>", "<TE>4</TE>"), "[4.0, 4.0] ms"),
    "not Cartesian": (edited("cartesian", "radial"), "'radial'"),
    "zero matrix size": (edited("<y>16</y>", "<y>0</y>"), "matrix size 32 x 0 x 16"),
    "absurd matrix size": (edited("<y>16</y>", "<y>99999</y>"), "99999"),
    "NaN samples": (nan_samples, "NaN"),
    "broken XML": (edited("</encoding>", ""), "cannot be parsed"),
    "XML with entities": (edited(r"\?>", '?><!DOCTYPE a [<!ENTITY b "c">]>'), "entities"),
}


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["ferritin", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code, capsys.readouterr().err


@pytest.mark.parametrize("fault", FAULTS)
def test_raw(tmp_path, monkeypatch, capsys, fault):
    path, out = tmp_path / "scan.h5", tmp_path / "out"
    make, word = FAULTS[fault]
    make(path)
    code, said = run(monkeypatch, capsys, "recon", path, "-o", out, "--quiet")
    assert code == 1
    assert len(said.strip().splitlines()) == 1
    assert said.startswith("ferritin: ")
    assert f"{path}" in said
    assert word in said
    assert not out.exists()


def test_empty_mask(tmp_path, monkeypatch, capsys):
    scan, out, mask = sound(tmp_path / "scan.h5"), tmp_path / "out", tmp_path / "mask.nii.gz"
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    affine[:3, 3] = 16, 16, -16
    nibabel.save(nibabel.Nifti1Image(np.zeros((16, 16, 16), np.uint8), affine), mask)
    code, said = run(monkeypatch, capsys, "recon", scan, "-o", out, "--mask", mask, "--quiet")
    assert code == 1
    assert said.startswith(f"ferritin: {mask}")
    assert "empty" in said
    assert not out.exists()


def test_unclear_phase(tmp_path, monkeypatch, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    images.folder(source, images.echoes(), phase=lambda p: (p * 0.2).astype(np.float32), units=None)
    code, said = run(monkeypatch, capsys, "recon", source, "-o", out, "--quiet")
    assert code == 1
    assert "--phase-scaling" in said
    assert not out.exists()


@pytest.mark.parametrize("fault", ["not HDF5", "no echo times", "broken XML"])
def test_inspect(tmp_path, monkeypatch, capsys, fault):
    make, word = FAULTS[fault]
    make(tmp_path / "scan.h5")
    code, said = run(monkeypatch, capsys, "inspect", tmp_path / "scan.h5")
    assert code == 1
    assert word in said


def test_ctrl_c_is_no_wrong_input(tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ferritin.run.recon.recon", stopped)
    code, said = run(monkeypatch, capsys, "recon", tmp_path, "-o", tmp_path / "out", "--quiet")
    assert code == 130
    assert "ferritin: stopped" in said


@pytest.mark.parametrize("said", ["Unable to allocate 1.5 TiB\nfor an array", ""])
def test_memory_that_is_not_there(tmp_path, monkeypatch, capsys, said):
    def fail(*_, **__):
        raise MemoryError(said)

    monkeypatch.setattr("ferritin.run.recon.recon", fail)
    code, error = run(monkeypatch, capsys, "recon", tmp_path, "-o", tmp_path / "out", "--quiet")
    assert code == 1
    assert error.count("\n") == 1
    assert "memory is exhausted" in error


def test_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "out/sub-01")

    monkeypatch.setattr("ferritin.run.recon.recon", full)
    code, said = run(monkeypatch, capsys, "recon", tmp_path, "-o", tmp_path / "out", "--quiet")
    assert code == 1
    assert said.strip().splitlines() == [
        "ferritin: out/sub-01: No space left on device; nothing half-written stands under its name"
    ]


def test_wrong_usage_and_help(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "recon")[0] == 2
    assert run(monkeypatch, capsys, "--help")[0] == 0


def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work(tmp_path, monkeypatch):
    from ferritin.errors import InputError
    from ferritin.io.derivatives import Derivatives

    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(InputError, match="cannot be written to"):
        Derivatives(tmp_path / "new" / "out", "01")
