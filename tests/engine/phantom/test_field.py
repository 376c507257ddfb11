"""The forward field against closed forms: sphere, cylinder, a single cell, and the tensor's symmetry."""

import itertools

import numpy as np
import pytest

from ferritin.phantom.field import field, shim

Z, OBLIQUE = (0.0, 0.0, 1.0), (0.48, -0.6, 0.64)


def ball(shape, cell, radius, soft=4):
    """Share of each cell inside a sphere about the middle, by sub-sampling."""
    out = np.zeros(shape)
    offsets = (np.arange(soft) + 0.5) / soft - 0.5
    axes = [(np.arange(n) - n // 2) * d for n, d in zip(shape, cell)]
    for shift in itertools.product(offsets, repeat=3):
        x, y, z = np.meshgrid(*(a + s * d for a, s, d in zip(axes, shift, cell)), indexing="ij", sparse=True)
        out += (x * x + y * y + z * z) < radius**2
    return (out / soft**3).astype(np.float32)


@pytest.mark.parametrize("direction", [Z, (1.0, 0.0, 0.0), OBLIQUE])
@pytest.mark.parametrize("cell", [(1.0, 1.0, 1.0), (0.8, 1.0, 1.3)])
def test_sphere(direction, cell):
    """(χ/3)(R/r)³(3cos²θ - 1) outside, 0 inside."""
    shape, radius = (48, 51, 46), 8.0
    share = ball(shape, cell, radius)
    ours = field(2 * share, cell, direction)
    x, y, z = np.meshgrid(*((np.arange(n) - n // 2) * d for n, d in zip(shape, cell)), indexing="ij")
    r = np.sqrt(x * x + y * y + z * z)
    cos = (direction[0] * x + direction[1] * y + direction[2] * z) / np.where(r > 0, r, 1)
    volume = 3 * share.sum() * np.prod(cell) / (4 * np.pi)
    expected = 2 / 3 * volume / np.where(r > 0, r, 1) ** 3 * (3 * cos**2 - 1)
    far = r > radius + 3
    assert np.abs(ours - expected)[far].max() < 0.006
    assert np.abs(ours[r < radius - 3]).max() < 0.02


def test_sphere_value_on_the_axis():
    """χ = 1, R = 6 mm at 12 mm: 0.0833 along B0, -0.0417 across."""
    share = ball((41, 41, 41), (1, 1, 1), 6.0, soft=6)
    ours = field(share, (1, 1, 1), Z)
    assert ours[20, 20, 32] == pytest.approx(2 / 3 / 8, rel=0.02)
    assert ours[32, 20, 20] == pytest.approx(-1 / 3 / 8, rel=0.02)


@pytest.mark.parametrize("axis", [0, 1])
def test_long_cylinder_across_the_field(axis):
    """(χ/2)(R/r)² cos2φ outside, χ(1/3 - 1/2) inside."""
    radius, n = 4.0, 129
    share = ball((33, 33, 1), (1, 1, 1e-6), radius, soft=6)
    rod = np.broadcast_to(share, (33, 33, n))
    direction = np.eye(3)[axis]
    middle = field(np.ascontiguousarray(rod), (1, 1, 4.0), direction)[:, :, n // 2]
    x, y = np.meshgrid(*[np.arange(33) - 16.0] * 2, indexing="ij")
    r2 = np.where(x * x + y * y > 0, x * x + y * y, 1)
    cos2 = (x * x - y * y) / r2 * (1 if axis == 0 else -1)
    area = share.sum() / np.pi
    far = r2 > (radius + 2) ** 2
    assert np.abs(middle - 0.5 * area / r2 * cos2)[far].max() < 0.004
    assert middle[16, 16] == pytest.approx(-1 / 6, abs=0.005)


def test_long_cylinder_along_the_field():
    """χ/3 inside (Lorentz), 0 outside."""
    share = ball((25, 25, 1), (1, 1, 1e-6), 4.0, soft=6)
    rod = np.ascontiguousarray(np.broadcast_to(share, (25, 25, 129)))
    middle = field(rod, (1, 1, 4.0), Z)[:, :, 64]
    assert middle[12, 12] == pytest.approx(1 / 3, abs=0.01)
    assert abs(middle[2, 2]) < 0.002


def test_far_cell_is_a_point_dipole():
    chi = np.zeros((61, 20, 20), np.float32)
    chi[0, 3, 4] = 1
    ours = field(chi, (1, 1, 1), OBLIQUE)
    d = np.array([60.0, 12, 10])
    r = np.linalg.norm(d)
    expected = (3 * (d @ OBLIQUE / r) ** 2 - 1) / (4 * np.pi * r**3)
    assert ours[60, 15, 14] == pytest.approx(expected, rel=1e-3, abs=1e-10)


def test_own_field_of_a_cube_is_zero_and_of_a_plate_is_not():
    """A cube's demagnetising factor is 1/3, the sphere's; a thin plate across B0 comes to 1/3 - 1."""
    chi = np.zeros((9, 9, 9), np.float32)
    chi[4, 4, 4] = 1
    assert field(chi, (1, 1, 1), Z)[4, 4, 4] == pytest.approx(0, abs=1e-6)
    assert field(chi, (1, 1, 1e-4), Z)[4, 4, 4] == pytest.approx(-2 / 3, abs=1e-3)


def test_the_medium_is_subtracted_and_makes_no_field():
    rng = np.random.default_rng(0)
    chi = np.full((20, 22, 18), 9.2, np.float32)
    assert np.abs(field(chi, (1, 1, 1), OBLIQUE, outside=9.2)).max() == 0
    chi[5:12, 6:15, 4:9] = rng.normal(size=(7, 9, 5))
    shifted = field(chi - np.float32(9.2), (1, 1, 1), OBLIQUE)
    np.testing.assert_allclose(field(chi, (1, 1, 1), OBLIQUE, outside=9.2), shifted, atol=2e-5)


def test_moving_the_source_moves_the_field():
    rng = np.random.default_rng(1)
    a = np.zeros((24, 26, 22), np.float32)
    b = a.copy()
    block = rng.normal(size=(4, 5, 6))
    a[2:6, 3:8, 1:7], b[15:19, 18:23, 12:18] = block, block
    fa, fb = (field(v, (1, 1.2, 0.9), OBLIQUE) for v in (a, b))
    np.testing.assert_allclose(fa[:11, :11, :11], fb[13:24, 15:26, 11:22], atol=1e-5)


def test_shim_takes_out_second_order_and_nothing_harmonic_above():
    x, y, z = np.meshgrid(*(np.arange(n) - n // 2 for n in (30, 34, 28)), indexing="ij")
    region = x * x + y * y + z * z < 150
    low = 3.0 + 0.2 * x - 0.1 * z + 0.01 * x * y + 0.004 * (2 * z * z - x * x - y * y)
    total = shim(low.astype(np.float32), region, (1, 1, 1))
    assert np.abs(total).max() < 1e-3
    third = (1e-3 * (x**3 - 3 * x * y * y)).astype(np.float32)
    assert np.std(shim(third.copy(), region, (1, 1, 1))[region]) > 0.5 * np.std(third[region])
