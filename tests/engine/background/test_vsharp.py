"""V-SHARP keeps the field of a source inside and removes that of a source outside."""

import numpy as np
import pytest

from ferritin.background.vsharp import vsharp
from ferritin.errors import ParameterError
from properties.fields import grid, scan_of, sphere_field

SCAN = scan_of((72, 72, 72), b0_dir=(0.2, 0.1, 0.97))
X, Y, Z = grid(SCAN)
MASK = X**2 + Y**2 + Z**2 < 28**2


def test_outer_field_is_removed():
    outer = sphere_field(SCAN, 6.0, 9.4, centre=(36, 36, -4)) * np.float32(SCAN.hz_per_ppm)
    local, mask, _ = vsharp(outer * MASK, MASK, SCAN)
    before, after = (np.linalg.norm(f[mask] - f[mask].mean()) for f in (outer, local))
    assert after < 0.01 * before
    assert not local[~mask].any()


def test_inner_field_is_kept():
    inner = sphere_field(SCAN, 4.0, 1.0)
    local, _, _ = vsharp(inner * MASK, MASK, SCAN)
    near = (X**2 + Y**2 + Z**2 < 12**2) & (X**2 + Y**2 + Z**2 > 5**2)
    slope = (local * inner)[near].sum() / (inner**2)[near].sum()
    assert slope == pytest.approx(1, abs=0.1)


def test_mask_is_where_the_smallest_ball_fits():
    _, mask, _ = vsharp(np.zeros(SCAN.shape, np.float32), MASK, SCAN, radius_mm=6.0)
    assert mask.sum() < MASK.sum()
    assert (MASK & mask).sum() == mask.sum()
    for axis in range(3):
        for step in (-1, 1):
            assert np.all(np.roll(MASK, step, axis)[mask])


def test_rounding_in_the_voxel_size_changes_nothing():
    """An oblique affine's columns are off by rounding, up and down; a ball of one voxel edge must stay one."""
    outer = sphere_field(SCAN, 6.0, 9.4, centre=(36, 36, -4)) * np.float32(SCAN.hz_per_ppm) * MASK
    exact = vsharp(outer, MASK, SCAN)
    for factor in (1 - 3e-8, 1 + 3e-8):
        scaled = SCAN.replace(affine=SCAN.affine @ np.diag([1, factor, factor, 1]))
        off = vsharp(outer, MASK, scaled)
        assert (off.mask == exact.mask).all()
        assert np.abs(off.local_field - exact.local_field).max() < 1e-3 * np.abs(outer).max()


@pytest.mark.parametrize("bad", [{"radius_mm": 0.5}, {"threshold": 0.0}, {"step_mm": -1.0}])
def test_absurd_parameters_are_refused(bad):
    with pytest.raises(ParameterError, match="vsharp"):
        vsharp(np.zeros(SCAN.shape, np.float32), MASK, SCAN, **bad)


@pytest.mark.parametrize(("voxel", "largest"), [((1.0, 1.0, 2.5), 12.0), ((1.0, 1.0, 1.0), 6.4)])
def test_the_smallest_ball_has_the_longest_voxel_edge_as_radius(voxel, largest):
    """Along an axis of short edges the mask loses as many voxels as that radius holds, whatever the largest ball."""
    scan = scan_of((40, 40, 24), voxel)
    mask = np.zeros(scan.shape, bool)
    mask[5:35, 5:35, 3:21] = True
    kept = vsharp(np.zeros(scan.shape, np.float32), mask, scan, radius_mm=largest).mask
    lost = int(max(voxel) / voxel[0])
    assert np.flatnonzero(kept[:, 20, 12])[[0, -1]].tolist() == [5 + lost, 34 - lost]
