"""R2' as the difference of two rates: values, clamping, what was not fitted, and the error."""

import numpy as np
import pytest

from ferritin.relax import difference
from ferritin.scan import Scan

SCAN = Scan((0.01,), 3.0, np.eye(4), (2, 2, 2))
MASK = np.ones((2, 2, 2), bool)


def volume(*values):
    return np.resize(np.array(values, np.float32), (2, 2, 2))


def test_it_is_the_difference_and_never_negative():
    rate, error, record = difference(volume(30, 20), volume(12, 24), MASK, SCAN, volume(3), volume(4))
    np.testing.assert_allclose(rate, volume(18, 0))
    np.testing.assert_allclose(error, volume(5))
    assert "4 of 8 differences (50.0 %) were negative" in record.notes[0]
    assert "bias" in record.notes[1]


def test_a_voxel_that_was_not_fitted_is_zero():
    rate, error, record = difference(
        volume(30, 0, np.nan, 30), volume(12, 12, 12, np.inf), MASK, SCAN, volume(3, 0, 0, 3)
    )
    np.testing.assert_allclose(rate, volume(18, 0, 0, 0))
    np.testing.assert_allclose(error, volume(3, 0, 0, 0))
    assert "0 of 2" in record.notes[0]
    assert "alone" in record.notes[-1]


def test_a_rate_that_was_fitted_as_zero_is_a_value():
    """R2* is kept at 0 or above; its standard error, NaN included, tells such a voxel from one without signal."""
    rate, error, record = difference(volume(30, 0, 0, 0), volume(12), MASK, SCAN, volume(3, 3, 0, np.nan), volume(4))
    np.testing.assert_allclose(rate, volume(18, 0, 0, 0))
    np.testing.assert_allclose(error, volume(5, 5, 0, np.nan))
    assert "4 of 6 differences" in record.notes[0]


def test_the_error_is_that_of_the_differences():
    """Against the spread of many noisy differences."""
    rng = np.random.default_rng(0)
    shape = (40, 40, 40)
    star, r2 = (m + s * rng.normal(size=shape) for m, s in ((60, 3.0), (20, 2.0)))
    scan = Scan((0.01,), 3.0, np.eye(4), shape)
    flat = [np.full(shape, s, np.float32) for s in (3.0, 2.0)]
    rate, error, _ = difference(star, r2, np.ones(shape, bool), scan, *flat)
    assert rate.std() == pytest.approx(error.mean(), rel=0.02)
    assert rate.mean() == pytest.approx(40, abs=0.1)
