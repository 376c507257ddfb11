"""The dipole kernel against the closed-form fields of a sphere and a cylinder, at any angle of B0."""

import numpy as np
import pytest

from ferritin.ops.dipole import Dipole, dipole_kernel
from properties.adjoint import assert_adjoint, norm_of
from properties.fields import cylinder_field, grid, scan_of, sphere, sphere_field

DIRECTIONS = [(0, 0, 1), (1, 0, 0), (0.3, -0.5, 0.8)]


def test_published_values_of_the_sphere():
    scan = scan_of((96, 96, 96))
    field = Dipole(np, scan.shape, scan)(sphere(scan, 6.0))
    c = 48
    assert field[c, c, c + 12] == pytest.approx(0.0833, abs=0.0015)
    assert field[c + 12, c, c] == pytest.approx(-0.0417, abs=0.0015)
    assert abs(field[c, c, c]) < 2e-3


@pytest.mark.parametrize("b0_dir", DIRECTIONS)
@pytest.mark.parametrize(("shape", "voxel"), [((80, 80, 80), (1, 1, 1)), ((81, 72, 60), (1.0, 1.25, 1.5))])
def test_sphere(b0_dir, shape, voxel):
    scan = scan_of(shape, voxel, b0_dir)
    field = Dipole(np, scan.shape, scan)(sphere(scan, 8.0))
    truth = sphere_field(scan, 8.0)
    x, y, z = grid(scan)
    r = np.sqrt(x * x + y * y + z * z)
    near = (r > 10.5) & (r < 22)
    assert np.linalg.norm((field - truth)[near]) < 0.06 * np.linalg.norm(truth[near])
    assert abs(field[r < 5]).max() < 0.02


@pytest.mark.parametrize("b0_dir", DIRECTIONS)
def test_cylinder(b0_dir):
    scan = scan_of((8, 160, 160), (1, 1, 1), b0_dir)
    _, y, z = grid(scan)
    r = np.hypot(y, z)
    rod = np.zeros(scan.shape)
    for dy in np.linspace(-0.4, 0.4, 5):
        for dz in np.linspace(-0.4, 0.4, 5):
            rod += np.hypot(y + dy, z + dz) < 8
    field = Dipole(np, scan.shape, scan)((rod / 25).astype(np.float32))
    truth = cylinder_field(scan, 8.0)
    where = (r < 5) | ((r > 11) & (r < 25))
    assert np.abs((field - truth)[where]).max() < 0.02


@pytest.mark.parametrize("shape", [(12, 10, 8), (11, 9, 7), (12, 9, 8)])
def test_kernel_is_that_of_a_real_convolution(shape):
    """Applied through real transforms it equals the complex transform with the even kernel, oblique B0 included."""
    scan = scan_of(shape, (1, 2, 1.5), (0.4, 0.5, 0.7))
    half = dipole_kernel(np, shape, scan.voxel_mm, scan.b0_dir)
    point = np.fft.irfftn(half.astype(np.complex128), shape, axes=(0, 1, 2))
    full = np.fft.fftn(point)
    assert np.abs(full.imag).max() < 1e-12
    np.testing.assert_allclose(full.real[..., : shape[2] // 2 + 1], half, atol=1e-6)


def test_kernel_of_a_mirrored_field_is_the_mirrored_kernel():
    shape, voxel = (12, 10, 8), (1.0, 1.0, 1.0)
    a = dipole_kernel(np, shape, voxel, (0.6, 0.0, 0.8))
    b = dipole_kernel(np, shape, voxel, (-0.6, 0.0, 0.8))
    np.testing.assert_allclose(a, np.roll(b[::-1], 1, axis=0), atol=1e-7)


def test_adjoint_and_norm():
    rng = np.random.default_rng(0)
    scan = scan_of((16, 15, 14), (1, 1.2, 0.9), (0.5, 0.2, 0.8))
    op = Dipole(np, scan.shape, scan)
    x, y = (rng.normal(size=scan.shape).astype(np.float32) for _ in range(2))
    assert_adjoint(op, op.adjoint, x, y)
    assert norm_of(op, op.adjoint, x) <= 2 / 3 + 1e-5


def test_normal_operator_is_the_dipole_twice_with_the_weight_between():
    rng, scan = np.random.default_rng(0), scan_of((16, 15, 14), (1, 1.2, 0.9), (0.5, 0.2, 0.8))
    op, x, weight = Dipole(np, scan.shape, scan), *(rng.random(scan.shape, np.float32) for _ in range(2))

    def weigh(s, field):
        field *= weight[s]

    np.testing.assert_allclose(op.normal(x, weigh), op(weight * op(x)), atol=1e-6)
