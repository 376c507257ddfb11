"""A coarse head and some finished rows, made once for all tests of the benchmark."""

import pytest

from ferritin.phantom import Protocol
from ferritin.run.bench.case import Case
from ferritin.run.bench.dataset import make_dataset
from ferritin.run.bench.run import run_cases


@pytest.fixture(scope="package")
def data(tmp_path_factory):
    protocol = Protocol(voxel_mm=(8.0,) * 3, te_ms=(4.0, 12.0, 20.0), fine_mm=4.0, snr=100)
    return make_dataset(tmp_path_factory.mktemp("data") / "coarse", protocol, calcification=True)


@pytest.fixture(scope="package")
def tkd(data):
    return Case("dipole", {"dipole": {"method": "tkd"}}, str(data.folder))


@pytest.fixture(scope="package")
def rows(data, tkd, tmp_path_factory):
    """Rows of several kinds, in a folder with their maps."""
    out = tmp_path_factory.mktemp("bench")
    swept = [Case("dipole", {"dipole": {"method": "tkd", "threshold": t}}, str(data.folder)) for t in (0.05, 0.4, 99.0)]
    return out, run_cases([tkd, *swept, Case("background", {}, str(data.folder))], out, 120)
