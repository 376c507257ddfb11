"""Stencils and neighbourhood means against their meaning, exact adjoints, and every instruction set."""

import numpy as np
import pytest

import ferritin_kernels as kernels
from ferritin_kernels.meaning import stencil as meaning

SHAPES = [(7, 6, 5), (1, 4, 33), (5, 1, 1), (2, 2, 2), (3, 33, 1), (4, 3, 40)]
STEP = (1.0, 1.3, 0.8)
WAYS = [(periodic, backward) for periodic in (True, False) for backward in (True, False)]


def volume(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("periodic", "backward"), WAYS)
def test_gradient_means_what_it_says(level, shape, periodic, backward):
    x = volume(shape)
    found = kernels.gradient(x, STEP, periodic=periodic, backward=backward)
    np.testing.assert_allclose(found, meaning.gradient(x.astype(float), STEP, periodic, backward), atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("periodic", "backward"), WAYS)
def test_divergence_is_minus_the_adjoint(level, shape, periodic, backward):
    x, g = volume(shape), volume((3, *shape), 1)
    options = {"periodic": periodic, "backward": backward}
    left = np.vdot(kernels.gradient(x, STEP, **options).astype(float), g)
    right = -np.vdot(x.astype(float), kernels.divergence(g, STEP, **options))
    assert abs(left - right) < 2e-5 * np.sqrt(x.size) * 3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("periodic", [True, False])
def test_laplacian_is_the_divergence_of_the_gradient(level, shape, periodic):
    x = volume(shape)
    found = kernels.laplacian(x, STEP, periodic=periodic)
    gradient = kernels.gradient(x, STEP, periodic=periodic)
    np.testing.assert_allclose(found, kernels.divergence(gradient, STEP, periodic=periodic), atol=2e-5)


def test_laplacian_of_a_wave_is_its_eigenvalue():
    i = np.arange(12)
    x = np.broadcast_to(np.cos(2 * np.pi * i / 12)[:, None, None], (12, 4, 5)).astype(np.float32)
    expected = (2 * np.cos(2 * np.pi / 12) - 2) / 0.5**2 * x
    np.testing.assert_allclose(kernels.laplacian(x, (0.5, 1, 1)), expected, atol=2e-6)


@pytest.mark.parametrize("shape", [(9, 8, 21), (1, 4, 33), (5, 6, 2)])
@pytest.mark.parametrize(("radius", "voxel"), [(3.0, (1.0, 1.0, 1.0)), (2.6, (0.6, 1.0, 0.9)), (0.5, (1.0, 1.0, 1.0))])
def test_ball_mean_is_a_convolution(level, shape, radius, voxel):
    x = volume(shape)
    expected = meaning.ball_mean(x.astype(float), radius, voxel)
    np.testing.assert_allclose(kernels.ball_mean(x, radius, voxel), expected, atol=2e-6)


@pytest.mark.parametrize("radius", [(1, 1, 1), (0, 2, 3), (4, 0, 12)])
def test_box_mean_is_a_convolution(level, radius):
    x = volume((9, 8, 21))
    np.testing.assert_allclose(kernels.box_mean(x, radius), meaning.box_mean(x.astype(float), radius), atol=2e-6)


def test_a_given_array_is_filled_and_threads_change_nothing():
    x = volume((13, 12, 11))
    out = np.empty((3, *x.shape), np.float32)
    assert kernels.gradient(x, STEP, out=out, threads=1) is out
    np.testing.assert_array_equal(out, kernels.gradient(x, STEP, threads=3))
    np.testing.assert_array_equal(kernels.ball_mean(x, 3.0, threads=1), kernels.ball_mean(x, 3.0, threads=3))


def test_not_a_number_stays_with_its_neighbours():
    x = volume((7, 7, 7))
    x[3, 3, 3] = np.nan
    bad = np.isnan(kernels.laplacian(x))
    assert bad.sum() == 7
    assert bad[3, 3, 3]


def test_wrong_arguments_say_what_to_do():
    with pytest.raises(ValueError, match=r"gradient of float64 \(4, 4, 4\); expected float32"):
        kernels.gradient(np.zeros((4, 4, 4)))
    with pytest.raises(ValueError, match=r"for a divergence \(3, x, y, z\)"):
        kernels.divergence(np.zeros((2, 4, 4, 4), np.float32))
    with pytest.raises(ValueError, match="out is float32"):
        kernels.laplacian(np.zeros((4, 4, 4), np.float32), out=np.zeros((4, 4, 5), np.float32))
    with pytest.raises(ValueError, match="not C-contiguous"):
        kernels.laplacian(np.zeros((4, 4, 4), np.float32).T[::2])
    with pytest.raises(ValueError, match="mean of float64"):
        kernels.box_mean(np.zeros((4, 4, 4)), (1, 1, 1))
