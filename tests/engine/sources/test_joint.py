"""χ-separation on balls that hold both sources: values, oblique B0, the zero, the noise, and R2* alone."""

import numpy as np
import pytest

from ferritin.dipole import tv
from ferritin.errors import ParameterError
from ferritin.sources import closed_form, joint, joint_r2star
from properties.fields import scan_of, sphere, sphere_field

SHAPE = (48, 48, 48)
VOXEL_MM = (2.0, 2.0, 2.0)
BALLS = (
    # centre [voxels], χ⁺, χ⁻ [ppm]
    ((16, 22, 24), 0.15, -0.02),
    ((32, 22, 22), 0.02, -0.10),
    ((24, 33, 26), 0.08, -0.08),
    ((24, 15, 26), 0.00, -0.05),
    ((25, 24, 35), 0.05, 0.0),
)
RADIUS = 9.0


def balls(b0_dir=(0.0, 0.0, 1.0), relaxivity=137.0):
    """Scan, mask, χ⁺, χ⁻, the rate [1/s] and the analytic field [Hz] of the balls."""
    scan = scan_of(SHAPE, VOXEL_MM, b0_dir)
    positive, negative, field = (np.zeros(SHAPE, np.float32) for _ in range(3))
    for centre, plus, minus in BALLS:
        ball = sphere(scan, RADIUS, centre)
        positive += np.float32(plus) * ball
        negative += np.float32(minus) * ball
        field += sphere_field(scan, RADIUS, plus + minus, centre)
    mask = sphere(scan, 43.0, fine=1) > 0.5
    rate = (relaxivity * (positive - negative)).astype(np.float32)
    return scan, mask, positive, negative, rate * mask, (field * mask * scan.hz_per_ppm).astype(np.float32)


def means(maps, truths):
    """Mean of each ball's inner part, found and true, for both sources."""
    rows = []
    for centre, *_ in BALLS:
        core = sphere(scan_of(SHAPE, VOXEL_MM), RADIUS - 3, centre, fine=1) > 0.5
        rows.append([[x[core].mean() for x in group] for group in (maps, truths)])
    return np.array(rows).transpose(2, 0, 1)  # (source, ball, found or true)


@pytest.mark.parametrize("b0_dir", [(0, 0, 1), (0.4, 0.2, 0.9)])
@pytest.mark.parametrize(("separate", "at_3t"), [(joint, 137.0), (joint_r2star, 274.0)])
def test_balls_keep_both_their_sources(b0_dir, separate, at_3t):
    scan, mask, positive, negative, rate, field = balls(b0_dir, at_3t)
    found = separate(field, rate, mask, scan, lambda_=2e-5, outside=1.0)
    for rows in means(found[:2], (positive, negative)):
        assert np.polyfit(rows[:, 1], rows[:, 0], 1)[0] == pytest.approx(1, abs=0.06)
        np.testing.assert_allclose(rows[:, 0], rows[:, 1], atol=0.008)
    assert found.chi_positive.min() >= 0 >= found.chi_negative.max()
    assert not found.chi_positive[~mask].any()


def test_the_zero_of_chi_is_found():
    """Where there is no rate there is no source, whatever the mean of the field's own map."""
    scan, mask, positive, negative, rate, field = balls()
    found = joint(field, rate, mask, scan, lambda_=2e-5, outside=1.0)
    empty = mask & (positive == 0) & (negative == 0)
    assert abs((found.chi_positive + found.chi_negative)[empty].mean()) < 0.002


def test_noise_in_both_data_harms_it_less_than_the_closed_form():
    scan, mask, positive, negative, rate, field = balls()
    rng = np.random.default_rng(0)
    noise, error = np.full(SHAPE, 0.4, np.float32), np.full(SHAPE, 3.0, np.float32)
    field = field + (noise * rng.normal(size=SHAPE) * mask).astype(np.float32)
    rate = (rate + error * rng.normal(size=SHAPE)).astype(np.float32) * mask
    found = joint(field, rate, mask, scan, noise, error, outside=1.0)
    plain = closed_form(tv(field, mask, scan, noise, outside=1.0).chi, rate, mask, scan)
    for ours, theirs, truth in zip(found, plain, (positive, negative)):
        worst, ours = (np.linalg.norm((x - truth)[mask]) for x in (theirs, ours))
        assert ours < 0.8 * worst


@pytest.mark.parametrize(("separate", "at_3t"), [(joint, 137.0), (joint_r2star, 274.0)])
@pytest.mark.parametrize("error", [np.nan, np.inf, 0.0])
def test_a_rate_without_its_error_counts_as_without_the_map(separate, at_3t, error):
    """Two echoes without a noise level have NaN for every standard error, and a rate all the same."""
    scan, mask, _, _, rate, field = balls(relaxivity=at_3t)
    rate[mask] += 1  # a rate in every voxel: a 0 with the error 0 was not fitted
    few = {"iterations": 10, "tolerance": 0.0}
    found = separate(field, rate, mask, scan, None, np.full(SHAPE, error, np.float32), **few)
    without = separate(field, rate, mask, scan, **few)
    for x, y in zip(found[:2], without[:2]):
        np.testing.assert_allclose(x, y, atol=1e-7)
    assert any(f"{mask.sum()} voxels have a rate without its error" in note for note in found.record.notes)


def test_a_voxel_that_was_not_fitted_says_nothing():
    """Rate and error are both 0 there; NaN in the rate says the same."""
    scan, mask, _, _, rate, field = balls()
    lost, few = sphere(scan, 20.0, BALLS[0][0]) > 0.5, {"iterations": 10, "tolerance": 0.0}
    error = np.full(SHAPE, 3.0, np.float32)
    empty = joint(field, np.where(lost, 0, rate), mask, scan, None, np.where(lost, 0, error), **few)
    absent = joint(field, np.where(lost, np.nan, rate).astype(np.float32), mask, scan, None, error, **few)
    for x, y in zip(empty[:2], absent[:2]):
        np.testing.assert_allclose(x, y, atol=1e-7)
    assert not any("without its error" in note for note in (*empty.record.notes, *absent.record.notes))


def test_scaling_the_field_the_rate_and_lambda_scales_the_sources():
    scan, mask, _, _, rate, field = balls()
    fixed = {"rate_weight": 0.1, "iterations": 20, "tolerance": 0.0}
    once = joint(field, rate, mask, scan, lambda_=1e-4, **fixed)
    ten = joint(10 * field, 10 * rate, mask, scan, lambda_=1e-3, **fixed)
    for x, y in zip(once[:2], ten[:2]):
        np.testing.assert_allclose(y, 10 * x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bad", [{"lambda_": 0.0}, {"outside": 0.0}, {"relaxivity": -1.0}, {"iterations": 0}])
def test_absurd_parameters_are_refused(bad):
    scan, mask, _, _, rate, field = balls()
    with pytest.raises(ParameterError):
        joint(field, rate, mask, scan, **bad)
