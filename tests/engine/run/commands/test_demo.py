"""The command `demo`: the scan that is there is taken when it is the one that is asked for, and only then."""

import json

import pytest
from click.testing import CliRunner

from ferritin.errors import DeviceError
from ferritin.run import demo as module
from ferritin.run.commands.demo import command


class Reached(Exception):
    """The reconstruction would start now."""


@pytest.fixture
def run(tmp_path, monkeypatch):
    def stop(*args):
        raise Reached

    monkeypatch.setattr(module, "recon", stop)

    def demo(*args):
        result = CliRunner().invoke(command, [str(tmp_path / "dd"), *args])
        return result, tmp_path / "dd/scan"

    return demo


def test_other_parameters_are_simulated_anew(run):
    for voxel in ("14", "14", "12"):
        result, scan = run("--voxel", voxel)
        assert isinstance(result.exception, Reached), result.output
        assert json.loads((scan / "truth/scan.json").read_text())["voxel_mm"] == [float(voxel)] * 3
    made = (scan / "raw.h5").stat().st_mtime_ns
    run("--voxel", "12")
    assert (scan / "raw.h5").stat().st_mtime_ns == made


def test_a_device_that_is_not_there_is_refused_before_anything(run):
    result, scan = run("--device", "foo")
    assert isinstance(result.exception, DeviceError)
    assert not scan.exists()
