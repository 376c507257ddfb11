"""TKD on six spheres: the slope after the correction of the point spread, and its scaling."""

import numpy as np
import pytest

from engine.dipole.phantoms import six_spheres, slope
from ferritin.dipole.tkd import tkd
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


def test_point_source_keeps_its_value():
    """The correction makes the peak of a single voxel's image 1 for any threshold."""
    scan = scan_of((48, 48, 48))
    point = np.zeros(scan.shape, np.float32)
    point[24, 24, 24] = 1
    field = Dipole(np, scan.shape, scan)(point) * np.float32(scan.hz_per_ppm)
    for threshold in (0.1, 0.3, 0.6):
        found = tkd(field, np.ones(scan.shape, bool), scan, threshold=threshold, reference="none").chi
        assert found[24, 24, 24] == pytest.approx(1, abs=0.03)


def test_linear():
    scan, mask, _, _, field = six_spheres(n=32)
    np.testing.assert_allclose(tkd(10 * field, mask, scan).chi, 10 * tkd(field, mask, scan).chi, rtol=1e-3, atol=1e-5)


def test_threshold_is_checked():
    scan, mask, _, _, field = six_spheres(n=32)
    with pytest.raises(ParameterError, match="between 0 and 2/3"):
        tkd(field, mask, scan, threshold=0.9)
