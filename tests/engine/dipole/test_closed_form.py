"""Closed-form L2 against its formula in float64."""

import numpy as np
import pytest

from ferritin.dipole.closed_form import closed_form
from ferritin.errors import ParameterError
from ferritin.inversion.division import Division
from properties.fields import scan_of

VOXEL = (1.0, 1.25, 1.6)
MASK = np.ones((20, 18, 16), bool)
FIELD = np.random.default_rng(3).standard_normal(MASK.shape, np.float32)


def formula(scan, lam, correlation_mm):
    """D·f̂/(D² + λE) on the padded box, complex transforms in float64."""
    box = Division(FIELD, MASK, scan).shape
    nu = np.meshgrid(*(np.fft.fftfreq(n) for n in box), indexing="ij")
    k = [n / v for n, v in zip(nu, VOXEL)]
    squares = sum(c * c for c in k)
    squares[0, 0, 0] = 1
    d = 1 / 3 - k[2] ** 2 / squares  # straight B0: even in every axis
    d[0, 0, 0] = 0
    mean = np.prod(VOXEL) ** (1 / 3)
    size = sum((2 - 2 * np.cos(2 * np.pi * n)) * (mean / v) ** 2 for n, v in zip(nu, VOXEL))
    size += (mean / correlation_mm) ** 2
    padded = np.zeros(box)
    padded[tuple(slice(n) for n in MASK.shape)] = FIELD / scan.hz_per_ppm
    found = np.fft.ifftn(d * np.fft.fftn(padded) / (d * d + lam * size + 1e-30)).real
    return found[tuple(slice(n) for n in MASK.shape)]


@pytest.mark.parametrize("correlation_mm", [None, 4.0, 1.5])
def test_is_the_formula(correlation_mm):
    scan = scan_of(MASK.shape, VOXEL)
    found = closed_form(FIELD, MASK, scan, lambda_=0.02, correlation_mm=correlation_mm, reference="none").chi
    expected = formula(scan, 0.02, correlation_mm or np.inf)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("wrong", [{"lambda_": 0.0}, {"correlation_mm": 0.0}])
def test_what_is_not_above_zero_is_refused(wrong):
    with pytest.raises(ParameterError, match="expected above 0"):
        closed_form(FIELD, MASK, scan_of(MASK.shape, VOXEL), **wrong)
