"""LBV: fields of outer sources vanish, and what it removes is harmonic on the grid."""

import numpy as np

from ferritin.background.lbv import lbv
from properties.fields import grid, scan_of, sphere_field

SCAN = scan_of((64, 60, 56), (1.0, 1.0, 1.2), b0_dir=(0.2, 0.1, 0.97))
X, Y, Z = grid(SCAN)
MASK = X**2 + Y**2 + Z**2 < 24**2


def test_outer_field_is_removed():
    outer = sphere_field(SCAN, 6.0, 9.4, centre=(32, 30, -6)) * np.float32(SCAN.hz_per_ppm)
    local, mask, record = lbv(outer * MASK, MASK, SCAN)
    assert np.linalg.norm(local[mask]) < 0.01 * np.linalg.norm((outer - outer[mask].mean())[mask])
    assert record.stopped_by == "tolerance"
    assert mask.sum() < MASK.sum()


def test_what_it_removes_is_harmonic():
    field = (np.random.default_rng(0).normal(size=SCAN.shape) * MASK).astype(np.float32)
    local, mask, _ = lbv(field, MASK, SCAN, tolerance=1e-6)
    removed = (field - local).astype(np.float64)
    laplacian = sum(
        (np.roll(removed, 1, a) + np.roll(removed, -1, a) - 2 * removed) / v**2 for a, v in enumerate(SCAN.voxel_mm)
    )
    assert np.abs(laplacian[mask]).max() < 1e-3
