"""TKD on six spheres: the slope after the correction of what the cut takes, and its scaling; TSVD on a ball."""

import numpy as np
import pytest

from engine.dipole.phantoms import six_spheres, slope
from ferritin.dipole import tkd, tsvd
from ferritin.errors import ParameterError
from ferritin.ops.dipole import Dipole
from properties.fields import scan_of


@pytest.mark.parametrize("b0_dir", [(0, 0, 1), (0.5, 0.3, 0.8)])
@pytest.mark.parametrize("voxel", [(1, 1, 1), (1.0, 1.0, 1.6)])
def test_slope(b0_dir, voxel):
    scan, mask, chi, labels, field = six_spheres(voxel, b0_dir)
    found, record, _ = tkd(field, mask, scan, threshold=0.1)
    assert slope(found, chi, labels) == pytest.approx(1, abs=0.12)
    assert not found[~mask].any()
    assert abs(found[mask].mean()) < 1e-4
    assert record.stopped_by == "closed form"


@pytest.mark.parametrize("invert", [tkd, tsvd])
@pytest.mark.parametrize("b0_dir", [(0, 0, 1), (0, 0.4, 0.9), (0.5, 0.3, 0.8)])
@pytest.mark.parametrize("threshold", [0.05, 0.15, 0.4])
def test_a_smooth_ball_keeps_its_value_at_any_angle(invert, b0_dir, threshold):
    """What the cut takes depends on the direction in k-space alone, and a ball has as much of each."""
    scan = scan_of((48, 48, 48), b0_dir=b0_dir)
    ball = np.exp(-((np.indices(scan.shape) - 24.0) ** 2).sum(axis=0) / (2 * 2.5**2)).astype(np.float32)
    field = Dipole(np, scan.shape, scan)(ball) * np.float32(scan.hz_per_ppm)
    found = invert(field, np.ones(scan.shape, bool), scan, threshold=threshold, reference="none").chi
    assert found[24, 24, 24] == pytest.approx(1, abs=0.03)


def test_linear():
    scan, mask, _, _, field = six_spheres(n=32)
    np.testing.assert_allclose(tkd(10 * field, mask, scan).chi, 10 * tkd(field, mask, scan).chi, rtol=1e-3, atol=1e-5)


def test_threshold_is_checked():
    scan, mask, _, _, field = six_spheres(n=32)
    with pytest.raises(ParameterError, match="between 0 and 2/3"):
        tkd(field, mask, scan, threshold=0.9)
