"""Smoothing through a coarse grid: widths, constants, phases, namespaces."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ferritin.ops.smooth import CoarseGaussian


@pytest.mark.parametrize("voxel", [(1.0, 1.5, 2.0), (3.0, 3.0, 3.0)])
def test_agrees_with_a_gaussian_filter_on_a_smooth_map(voxel):
    shape = (40, 36, 30)
    x, y, z = np.meshgrid(*(np.arange(n) * v for n, v in zip(shape, voxel)), indexing="ij")
    smooth = (np.sin(x / 14) + 1j * np.cos(y / 17 + z / 15)).astype(np.complex64)
    sigma = 4.0
    expected = gaussian_filter(smooth, [sigma / v for v in voxel], mode="nearest")
    got = CoarseGaussian(np, shape, voxel, sigma)(smooth)
    inner = tuple(slice(int(2 * sigma / v) + 1, n - int(2 * sigma / v) - 1) for n, v in zip(shape, voxel))
    assert got.dtype == np.complex64
    assert np.abs(got - expected)[inner].max() < 0.015


def test_keeps_constants_up_to_the_border_and_thin_axes(xp, to_np):
    smooth = CoarseGaussian(xp, (20, 1, 2), (1.0, 1.0, 1.0), 5.0)
    got = to_np(smooth(xp.full((20, 1, 2), np.float32(3))))
    assert got == pytest.approx(3, rel=1e-5)


def test_the_coarse_map_is_small():
    smooth = CoarseGaussian(np, (100, 100, 100), (1.0, 1.0, 1.0), 5.0)
    assert np.prod(smooth.coarse_shape) < 1e6 / 50


def test_a_complex_map_is_two_real_ones_whatever_its_order_in_memory(xp, to_np):
    rng = np.random.default_rng(0)
    real, imag = rng.normal(size=(2, 21, 16, 12)).astype(np.float32)
    smooth = CoarseGaussian(xp, real.shape, (1.0, 1.5, 2.0), 3.0)
    parts = to_np(smooth(xp.asarray(real))) + 1j * to_np(smooth(xp.asarray(imag)))
    got = smooth(xp.asarray((real + 1j * imag).astype(np.complex64).T).T)
    assert to_np(got) == pytest.approx(parts, abs=1e-6)


def test_no_weight_is_so_small_that_products_are_denormal_numbers():
    lone = np.zeros((100, 100, 100), np.float32)
    lone[0, 0, 0] = 1
    coarse = CoarseGaussian(np, lone.shape, (1.0, 1.0, 1.0), 5.0).down(lone)
    assert coarse[coarse != 0].min() > np.finfo(np.float32).tiny
