"""What is written passes the BIDS validator without an error."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ferritin.io.derivatives import Derivatives
from ferritin.run.info import StageInfo
from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS


def errors(folder):
    """The validator's errors: [(code, file)]."""
    beside = Path(sys.executable).with_name("bids-validator-deno")
    program = beside if beside.exists() else shutil.which("bids-validator-deno")
    if program is None:
        pytest.skip("bids-validator-deno is not installed; pip install bids-validator-deno")
    done = subprocess.run([program, folder, "--format", "json"], capture_output=True, text=True, timeout=120)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [(i["code"], i.get("location")) for i in issues if i["severity"] == "error"]


def write(out, n_echoes, subject):
    shape = (6, 7, 8)
    scan = Scan([0.005 * (i + 1) for i in range(n_echoes)], 3.0, np.diag([2, 2, 2, 1.0]), shape)
    names = [a.name for a in ARTIFACTS.values() if a.file] if n_echoes > 1 else ["mask"]
    values = {n: np.ones(shape, ARTIFACTS[n].dtype) for n in names}
    values["echoes"] = np.ones((n_echoes, *shape), np.complex64)
    stages = (StageInfo("mask", "signal", "x"), StageInfo("dipole", "tv", "y", {"lambda": 1e-3}))
    maps = SimpleNamespace(scan=scan, artifacts=values, stages=stages, missing={})
    with Derivatives(out, subject).writing() as writer:
        writer.maps(maps)
        writer.report(lambda path: path.write_text("<html>"))
        writer.record(maps, [])


def test_every_map_and_every_echo_of_two_subjects_is_valid(tmp_path):
    write(tmp_path / "out", 4, "01")
    write(tmp_path / "out", 1, "phantom")
    assert errors(tmp_path / "out") == []


def test_the_validator_does_find_errors(tmp_path):
    write(tmp_path / "out", 2, "01")
    anat = tmp_path / "out" / "sub-01" / "anat"
    (anat / "sub-01_Chimap.nii.gz").rename(anat / "sub-01_Chi.nii.gz")
    assert errors(tmp_path / "out")
