"""Total field inversion keeps an inner field to the rim, where the others cannot, and removes the outer one."""

import numpy as np
import pytest

from ferritin.background.lbv import lbv
from ferritin.background.tfi import tfi
from ferritin.background.vsharp import vsharp
from properties.fields import grid, scan_of, sphere, sphere_field

SCAN = scan_of((64, 64, 64), b0_dir=(0.2, 0.1, 0.97))
X, Y, Z = grid(SCAN)
MASK = X**2 + Y**2 + Z**2 < 24**2
HZ = np.float32(SCAN.hz_per_ppm)
INNER = sum(sphere_field(SCAN, 4.0, chi, c) for chi, c in ((0.2, (32, 20, 40)), (-0.1, (47, 38, 30)))) * HZ
OUTER = sum(sphere_field(SCAN, 6.0, 9.4, c) for c in ((32, 36, -4), (66, 50, 30))) * HZ


def error(local, mask):
    """Error relative to the inner field, means removed, in per cent."""
    difference = (local - INNER)[mask]
    return 100 * np.linalg.norm(difference - difference.mean()) / np.linalg.norm(INNER[mask])


def test_better_than_by_harmonics_alone():
    total = (INNER + OUTER) * MASK
    local, mask, record = tfi(total, MASK, SCAN)
    others = [method(total, MASK, SCAN).local_field for method in (lbv, vsharp)]
    deep = X**2 + Y**2 + Z**2 < 20**2
    assert error(local, deep) < 15
    assert error(local, deep) < 0.6 * min(error(other, deep) for other in others)
    assert record.iterations > 5
    assert not local[~mask].any()


def test_the_noise_stays_in_the_local_field():
    """It removes fields, it does not smooth: white noise deep inside comes through."""
    noise = np.random.default_rng(0).normal(size=SCAN.shape).astype(np.float32)
    local, _, _ = tfi((INNER + OUTER + noise) * MASK, MASK, SCAN, np.ones_like(noise))
    deep = X**2 + Y**2 + Z**2 < 14**2
    left = (local - INNER)[deep]
    assert left.std() == pytest.approx(noise[deep].std(), rel=0.1)
    assert np.corrcoef(left, noise[deep])[0, 1] > 0.95


def test_a_uniform_map_is_no_source():
    """A constant chi over the whole mask belongs to the background: the reference is the mean."""
    ball = sphere(SCAN, 24.0)
    field = sphere_field(SCAN, 24.0) * HZ * (ball > 0.99)
    local, mask, _ = tfi(field, MASK, SCAN)
    assert np.abs(local[mask]).max() < 0.05 * np.abs(sphere_field(SCAN, 24.0)[MASK ^ True]).max() * HZ
