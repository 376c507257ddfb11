"""Sources in closed form: exact on what the model makes, the zero of chi, relaxivities, and the field."""

import numpy as np
import pytest

from ferritin.errors import HeaderError, InputError, ParameterError
from ferritin.scan import Scan
from ferritin.sources import closed_form, closed_form_r2star

SHAPE = (12, 12, 12)
MASK = np.ones(SHAPE, bool)


def scan_at(b0_t=3.0):
    return Scan((), b0_t, np.eye(4), SHAPE)


def mixture(seed=0):
    """χ⁺ and χ⁻ of every voxel, a third of the voxels with one of them alone."""
    rng = np.random.default_rng(seed)
    positive, negative = 0.2 * rng.random(SHAPE), -0.1 * rng.random(SHAPE)
    alone = rng.integers(0, 6, SHAPE)
    return positive * (alone != 0), negative * (alone != 1)


@pytest.mark.parametrize(
    ("separate", "at_3t", "b0_t"), [(closed_form, 137, 3.0), (closed_form, 137, 7.0), (closed_form_r2star, 274, 3.0)]
)
def test_mixtures_are_taken_apart_exactly(separate, at_3t, b0_t):
    positive, negative = mixture()
    rate = at_3t * b0_t / 3 * (positive - negative)
    plus, minus, _ = separate(positive + negative, rate, MASK, scan_at(b0_t))
    np.testing.assert_allclose(plus, positive, atol=1e-6)
    np.testing.assert_allclose(minus, negative, atol=1e-6)


def test_relaxivities_of_both_signs_may_differ():
    positive, negative = mixture()
    rate = 114 * positive - 30 * negative
    given = {"relaxivity": 114.0, "relaxivity_negative": 30.0}
    plus, minus, _ = closed_form(positive + negative, rate, MASK, scan_at(), **given)
    np.testing.assert_allclose(plus, positive, atol=1e-6)
    np.testing.assert_allclose(minus, negative, atol=1e-6)


@pytest.mark.parametrize("shift", [-0.05, 0.03])
def test_an_arbitrary_zero_of_chi_is_put_right(shift):
    """Voxels of one source alone bound chi from both sides."""
    positive, negative = mixture()
    rate = 137 * (positive - negative)
    plus, minus, record = closed_form(positive + negative + shift, rate, MASK, scan_at())
    np.testing.assert_allclose(plus, positive, atol=2e-4)
    np.testing.assert_allclose(minus, negative, atol=2e-4)
    assert f"{-shift:+.2g}"[:4] in record.notes[1]


def test_signs_hold_and_outside_is_zero():
    rng = np.random.default_rng(1)
    chi, rate = rng.normal(size=SHAPE), np.abs(rng.normal(size=SHAPE))
    rate[0] = np.nan
    mask = MASK.copy()
    mask[-1] = False
    plus, minus, _ = closed_form(chi, rate, mask, scan_at(), zero=0.0)
    assert plus.min() >= 0 >= minus.max()
    assert np.isfinite(plus).all()
    assert not plus[-1].any()
    assert not minus[-1].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_left_out_and_counted(bad):
    """As if the mask did not hold them, for the zero of chi too."""
    positive, negative = mixture()
    chi, rate = positive + negative + 0.02, 137 * (positive - negative)
    within = MASK.copy()
    within[0, 0, :5] = False
    plus, minus, record = closed_form(chi, rate, within, scan_at())
    chi[0, 0, :3], rate[0, 0, 3:5] = bad, bad
    found = closed_form(chi, rate, MASK, scan_at())
    np.testing.assert_array_equal(found.chi_positive, plus)
    np.testing.assert_array_equal(found.chi_negative, minus)
    assert record.notes[-1] == found.record.notes[-1]
    assert f"5 of {MASK.sum()} voxels" in found.record.notes[1]


def test_maps_without_a_usable_voxel_are_refused():
    chi = np.full(SHAPE, np.nan, np.float32)
    for nothing in (chi, np.zeros(SHAPE, np.float32)):
        mask = MASK if nothing is chi else ~MASK
        with pytest.raises(InputError, match="none of the mask's"):
            closed_form(nothing, np.ones(SHAPE, np.float32), mask, scan_at())


def test_absurd_relaxivities_and_an_unknown_field_are_refused():
    chi = np.zeros(SHAPE, np.float32)
    with pytest.raises(ParameterError, match="relaxivity"):
        closed_form(chi, chi, MASK, scan_at(), relaxivity=0.0)
    with pytest.raises(HeaderError, match="--b0"):
        closed_form(chi, chi, MASK, scan_at(None))
