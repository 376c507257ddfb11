"""Spherical mean values: harmonic functions are their own mean, and the erosion says where the ball fits."""

import numpy as np
import pytest
import scipy.ndimage as ndi

from ferritin.ops.smv import ball_spectrum, depth_mm, erode
from properties.fields import scan_of, sphere_field


@pytest.mark.parametrize("voxel", [(1.0, 1.0, 1.0), (1.0, 1.2, 0.9)])
def test_harmonic_function_is_its_own_mean(voxel):
    scan = scan_of((64, 64, 64), voxel, (0.2, 0.3, 0.9))
    field = sphere_field(scan, 3.0, centre=(4, 32, 32))
    ball = ball_spectrum(np, scan.shape, scan.voxel_mm, 6.0)
    mean = np.fft.irfftn(np.fft.rfftn(field) * ball, scan.shape, axes=(0, 1, 2))
    far = (slice(28, 56), slice(16, 48), slice(16, 48))
    assert np.abs(mean - field)[far].max() < 0.01 * np.abs(field[far]).max()


def test_ball_is_in_millimetres_and_sums_to_one():
    ball = ball_spectrum(np, (20, 20, 21), (1.0, 2.0, 3.0), 6.0)
    assert ball[0, 0, 0] == pytest.approx(1, abs=1e-6)
    kernel = np.fft.irfftn(ball, (20, 20, 21), axes=(0, 1, 2))
    assert kernel[6, 0, 0] > 1e-4 > abs(kernel[7, 0, 0])
    assert kernel[0, 3, 0] > 1e-4 > abs(kernel[0, 4, 0])
    assert kernel[0, 0, 2] > 1e-4 > abs(kernel[0, 0, 3])


def test_erosion_is_where_the_ball_fits():
    rng = np.random.default_rng(0)
    mask = ndi.gaussian_filter(rng.normal(size=(30, 28, 26)), 3) > 0
    x, y, z = np.ogrid[-4:5, -4:5, -4:5]
    ball = x**2 + y**2 + (1.5 * z) ** 2 <= 9
    direct = ndi.binary_erosion(mask, ball, border_value=0)
    assert np.array_equal(erode(mask, 3.0, (1.0, 1.0, 1.5)), direct)
    assert depth_mm(np.ones((3, 3, 3), bool), (1.0, 1.0, 1.0))[1, 1, 1] == 2


@pytest.mark.parametrize("walls", [True, False])
@pytest.mark.parametrize("reach", [0.5, 3.0, 5.1])
def test_near_depth_is_the_depth_up_to_its_reach(walls, reach):
    mask = ndi.gaussian_filter(np.random.default_rng(1).normal(size=(41, 44, 37)), 6) > 0
    voxel = (1.0, 0.8, 1.5)
    whole, near = depth_mm(mask, voxel, walls=walls), depth_mm(mask, voxel, walls=walls, reach_mm=reach)
    np.testing.assert_allclose(near[whole <= reach], whole[whole <= reach], rtol=1e-6)
    assert np.all(np.isinf(near[whole > 1.0001 * reach]))
    assert (whole > 1.0001 * reach).any()


@pytest.mark.parametrize("shape", [(12, 10, 9), (9, 30, 26)])
def test_spectrum_of_a_ball_is_its_transform_also_where_it_meets_itself(shape):
    voxel, radius = (1.0, 1.3, 0.8), 6.0
    distance = [np.minimum(np.arange(n), n - np.arange(n)) * v for n, v in zip(shape, voxel)]
    ball = sum(d**2 for d in np.meshgrid(*distance, indexing="ij")) <= radius**2
    expected = np.fft.rfftn(ball / ball.sum(), axes=(0, 1, 2))
    np.testing.assert_allclose(ball_spectrum(np, shape, voxel, radius), expected, atol=1e-6)
