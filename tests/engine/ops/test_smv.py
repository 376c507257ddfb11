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
