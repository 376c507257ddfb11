"""Local stencils: the wave operator against the dipole's spectrum, the symmetrised gradient and their adjoints."""

from itertools import pairwise

import numpy as np
import pytest

from ferritin.ops.gradient import Gradient
from ferritin.ops.symmetric import SymmetricGradient
from ferritin.ops.wave import Wave
from properties.adjoint import assert_adjoint

SHAPE, VOXEL = (12, 10, 9), (1.0, 1.3, 0.8)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("b0_dir", [(0, 0, 1), (0.6, 0, 0.8), (0.48, 0.64, 0.6)])
def test_wave_of_a_slow_wave_is_k2_times_the_dipole(b0_dir):
    """□ exp(ikr) = -4π²(k²/3 − (b·k)²) exp(ikr), up to the stencil's error of order (kh)²."""
    shape = (40, 40, 40)
    index = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    for turns in ((1, 0, 0), (0, 1, 1), (1, -1, 2)):
        phase = 2 * np.pi * sum(t * i / n for t, i, n in zip(turns, index, shape))
        k = np.array([t / (n * v) for t, n, v in zip(turns, shape, VOXEL)])
        expected = -4 * np.pi**2 * (k @ k / 3 - (k @ np.array(b0_dir)) ** 2)
        found = Wave(VOXEL, b0_dir)(np, np.cos(phase).astype(np.float32))
        np.testing.assert_allclose(found, expected * np.cos(phase), atol=0.02 * 4 * np.pi**2 * (k @ k))


def test_wave_is_self_adjoint_and_bounded():
    op = Wave(VOXEL, (0.48, 0.64, 0.6))
    x, y = (RNG.normal(size=SHAPE).astype(np.float32) for _ in range(2))
    assert_adjoint(lambda v: op(np, v), lambda v: op(np, v), x, y)
    assert np.linalg.norm(op(np, x)) <= op.row_sum * np.linalg.norm(x)


def test_laplacian_is_minus_the_gradients_normal_operator():
    x, gradient = RNG.normal(size=SHAPE).astype(np.float32), Gradient(VOXEL)
    found = Wave(VOXEL, (0, 0, 1), laplacian=True)(np, x)
    np.testing.assert_allclose(found, -gradient.adjoint(np, gradient(np, x)), atol=1e-4)


def test_symmetric_gradient_of_a_gradient_is_the_second_derivative():
    i = np.arange(12)
    x = np.broadcast_to(np.cos(2 * np.pi * i / 12)[:, None, None], SHAPE).astype(np.float32)
    bend = SymmetricGradient((1, 1, 1))(np, Gradient((1, 1, 1))(np, x))
    np.testing.assert_allclose(bend[0], (2 * np.cos(2 * np.pi / 12) - 2) * x, atol=1e-5)
    assert np.abs(bend[1:]).max() < 1e-6


def test_symmetric_gradients_adjoint_counts_the_off_diagonal_twice():
    op = SymmetricGradient(VOXEL)
    w, e = (RNG.normal(size=(n, *SHAPE)).astype(np.float32) for n in (3, 6))
    count = np.array([1, 1, 1, 2, 2, 2], np.float32)[:, None, None, None]
    assert_adjoint(lambda v: op(np, v) * count, lambda v: op.adjoint(np, v), w, e)


@pytest.mark.parametrize("bounds", [(0, 5, 12), (0, 1, 12)])
def test_slabs_add_up(bounds):
    symmetric, wave = SymmetricGradient(VOXEL), Wave(VOXEL, (0.48, 0.64, 0.6))
    w, out = RNG.normal(size=(3, *SHAPE)).astype(np.float32), np.zeros((3, *SHAPE), np.float32)
    whole = symmetric(np, w)
    for a, b in pairwise(bounds):
        s = slice(a, b)
        part = symmetric.on_slab(np, w, s)
        np.testing.assert_allclose(part, whole[:, s], atol=1e-6)
        np.testing.assert_allclose(wave.on_slab(np, w[0], s), wave(np, w[0])[s], atol=1e-5)
        symmetric.add_adjoint_of_slab(np, part, s, out)
    np.testing.assert_allclose(out, symmetric.adjoint(np, whole), atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 6, 10), (7, 9, 5)])
def test_spectra_of_the_differences(shape):
    step = (1.0, 2.0, 0.5)
    x = RNG.normal(size=shape).astype(np.float32)
    forward, backward = Gradient(step).spectra(np, shape)
    direct, spectrum = Gradient(step)(np, x), np.fft.rfftn(x)
    for axis in range(3):
        found = np.fft.irfftn(spectrum * forward[axis], shape, axes=(0, 1, 2))
        np.testing.assert_allclose(found, direct[axis], atol=1e-4)
        found = np.fft.irfftn(spectrum * backward[axis], shape, axes=(0, 1, 2))
        np.testing.assert_allclose(found, np.roll(direct[axis], 1, axis), atol=1e-4)
