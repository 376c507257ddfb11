"""A simulated scan with its truth, brought into the layout of the benchmark."""

import importlib.util
from pathlib import Path

import numpy as np

from ferritin.io.nifti import load_volume
from ferritin.phantom import Protocol, simulate

SCRIPT = Path(__file__).parents[2] / "bench" / "accuracy" / "other_head.py"


def test_scan_becomes_a_dataset(tmp_path):
    spec = importlib.util.spec_from_file_location("other_head", SCRIPT)
    other_head = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other_head)
    protocol = Protocol(voxel_mm=(8.0,) * 3, te_ms=(4.0, 12.0), fine_mm=4.0, tilt_deg=20.0, snr=80)
    scanner = simulate(tmp_path / "scan", protocol, format="bids")
    data = other_head.convert(tmp_path / "scan", tmp_path / "head")
    assert data.params["TE"] == [0.004, 0.012]
    np.testing.assert_allclose(data.scan().b0_dir, scanner.images.b0_dir, atol=1e-6)
    np.testing.assert_array_equal(data.mask, scanner.mask)
    np.testing.assert_allclose(data.truth("chi"), load_volume(tmp_path / "scan/truth/chi.nii.gz")[0])
    error = (data.given("echoes")[1] - scanner.echo(1))[data.mask]
    np.testing.assert_allclose(error.real.std(), scanner.sigma, rtol=0.1)
    field_error = (data.given("total_field") - data.truth("total_field") * data.hz_per_ppm)[data.mask]
    np.testing.assert_allclose(np.std(field_error / data.given("field_noise")[data.mask]), 1, rtol=0.1)
    again = other_head.convert(tmp_path / "scan", tmp_path / "head")
    assert again.folder == data.folder
