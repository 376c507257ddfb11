"""The rim is trimmed where the field jumps, and only there."""

import numpy as np
import pytest

from ferritin.errors import InputError
from ferritin.mask import smoothness
from ferritin.scan import Scan

SHAPE = (40, 36, 32)
SCAN = Scan((0.004, 0.012), 7.0, np.diag([2.0, 2.0, 2.0, 1.0]), SHAPE)


def ball(radius, centre=None):
    grid = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    return sum((g - c) ** 2 for g, c in zip(grid, centre or [n // 2 for n in SHAPE])) < radius**2


def smooth_field():
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE), indexing="ij")
    return 100 * (x * y + z**2 - x**2)


def test_a_smooth_field_keeps_the_mask_but_for_single_voxels_that_stick_out():
    mask = ball(13)
    trimmed = smoothness(smooth_field(), mask, SCAN).mask
    assert not (trimmed & ~mask).any()
    assert (mask & ~trimmed).sum() <= 0.01 * mask.sum()


def test_a_rough_spot_at_the_rim_goes_and_one_deep_inside_stays():
    mask, field = ball(13), smooth_field()
    rim, deep = ball(3, (31, 18, 16)) & mask, ball(1.5)
    rng = np.random.default_rng(1)
    field[rim] += 200 * rng.standard_normal(rim.sum())
    field[deep] += 200
    trimmed = smoothness(field, mask, SCAN).mask
    assert (trimmed & rim).sum() < 0.35 * rim.sum()
    assert trimmed[deep].all()
    assert (mask & ~trimmed & ~ball(5, (31, 18, 16))).sum() <= 0.02 * mask.sum()


def test_the_limit_is_in_ppm():
    mask, field = ball(13), smooth_field()
    field[31, 18, 16] += 2 * 0.067 * SCAN.hz_per_ppm
    field[8, 18, 16] += 0.4 * 0.067 * SCAN.hz_per_ppm
    trimmed = smoothness(field, mask, SCAN).mask
    assert not trimmed[31, 18, 16]
    assert trimmed[8, 18, 16]


def test_a_field_without_a_smooth_voxel_is_an_error():
    field = (1000 * np.random.default_rng(2).standard_normal(SHAPE)).astype(np.float32)
    with pytest.raises(InputError, match="limit_ppm"):
        smoothness(field, ball(5), SCAN)
