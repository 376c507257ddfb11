"""The shared set-up: ppm, weights, the reference of zero."""

import numpy as np
import pytest

from ferritin.errors import InputError, ParameterError
from ferritin.inversion.edges import ease_at_own_edges, edge_weight, mean_magnitude
from ferritin.inversion.problem import Problem
from properties.fields import scan_of

SCAN = scan_of((20, 18, 16))
MASK = np.zeros(SCAN.shape, bool)
MASK[4:15, 4:14, 4:12] = True


def test_field_is_in_ppm_and_masked():
    problem = Problem(np.full(SCAN.shape, 3, np.float32), MASK, SCAN)
    assert problem.field[problem.inside] == pytest.approx(3 / SCAN.hz_per_ppm)
    assert not problem.field[~problem.inside].any()


def test_weights_are_reciprocal_noise_of_mean_square_one():
    noise = np.where(np.arange(20)[:, None, None] < 10, 1.0, 2.0) * np.ones(SCAN.shape)
    noise[5, 5, 5], noise[6, 6, 6], noise[7, 7, 7] = 0, np.nan, np.inf
    problem = Problem(np.zeros(SCAN.shape, np.float32), MASK, SCAN)
    weight, sd = problem.weights(noise.astype(np.float32))
    used = weight > 0
    assert used.sum() == MASK.sum() - 3
    assert (weight[used] ** 2).mean() == pytest.approx(1, abs=1e-5)
    assert weight.max() / weight[used].min() == pytest.approx(2, abs=1e-4)
    assert sd / weight.max() == pytest.approx(1 / SCAN.hz_per_ppm)


def test_reference():
    problem = Problem(np.zeros(SCAN.shape, np.float32), MASK, SCAN)
    chi = problem.box.crop((2 + np.arange(20)[:, None, None] * np.ones(SCAN.shape)).astype(np.float32))
    centred, plain = problem.finish(chi.copy()), problem.finish(chi.copy(), reference="none")
    assert abs(centred.chi[MASK].mean()) < 1e-5
    assert plain.chi[5, 5, 5] == 7
    assert "mean over the mask" in centred.record.notes[-1]
    with pytest.raises(ParameterError, match="reference = 'csf'"):
        problem.finish(chi, reference="csf")


def test_edges_are_found_under_a_coil_shading():
    x = np.arange(20)[:, None, None] * np.ones(SCAN.shape)
    rng = np.random.default_rng(1)
    steps = np.where(x > 9, 2.0, 1.0) * np.exp(-x / 40) * (1 + 0.005 * rng.normal(size=SCAN.shape))
    weight = edge_weight(np, steps.astype(np.float32), MASK, SCAN.voxel_mm, 2.0)
    inner = MASK & np.roll(MASK, -1, 0)
    assert weight[9][inner[9]].max() < 0.1
    assert weight[6][inner[6]].min() > 0.5
    assert weight[MASK].mean() == pytest.approx(1, abs=1e-4)
    assert np.all(weight[~MASK] == 1)


def test_own_edges_halve_the_prior_where_the_gradient_is_as_large_as_said():
    """A jump of 3 over a step of 1.5 has the gradient 2; outside the mask the prior stays."""
    chi = np.zeros(SCAN.shape, np.float32)
    chi[10:] = 3
    prior = np.full(SCAN.shape, 4, np.float32)
    ease_at_own_edges(np, prior, chi, MASK, (1.5, 1.0, 1.0), 2.0)
    assert np.all(prior[9][MASK[9]] == 2)
    assert np.all(prior[8][MASK[8]] == 4)
    assert np.all(prior[~MASK] == 4)


def test_mean_magnitude_is_that_of_the_decay():
    te = (0.004, 0.012)
    s0, r2star = np.full((2, 2, 2), 3, np.float32), np.full((2, 2, 2), 40, np.float32)
    expected = np.sqrt(np.mean([(3 * np.exp(-40 * t)) ** 2 for t in te]))
    assert mean_magnitude(np, s0, r2star, te) == pytest.approx(expected)


def test_maps_without_echo_times_have_the_magnitude_of_their_s0():
    s0 = np.full((2, 2, 2), 3, np.float32)
    assert mean_magnitude(np, s0, s0, ()) is s0


def test_a_magnitude_of_nothing_is_refused():
    with pytest.raises(InputError, match="nowhere positive"):
        edge_weight(np, np.zeros(SCAN.shape, np.float32), MASK, SCAN.voxel_mm, 2.0)


def test_a_noise_of_next_to_nothing_stays_a_number():
    noise = np.full(SCAN.shape, 0.5, np.float32)
    noise[tuple(np.argwhere(MASK)[0])] = 1e-25
    weight, sd = Problem(np.zeros(SCAN.shape, np.float32), MASK, SCAN).weights(noise)
    assert np.isfinite(weight).all()
    assert sd > 0
