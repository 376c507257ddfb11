"""Closed forms in one sweep: sums over the whole of k-space, and the division itself against whole arrays."""

import numpy as np
import pytest

from ferritin.inversion.division import Division
from ferritin.inversion.problem import Problem
from properties.fields import scan_of

SCAN = scan_of((20, 18, 16), (1.0, 1.2, 0.9), (0.3, 0.2, 0.9))
MASK = np.zeros(SCAN.shape, bool)
MASK[4:15, 4:14, 4:12] = True


@pytest.mark.parametrize("shape", [(20, 18, 16), (19, 18, 15)])
def test_half_sum_is_the_sum_over_all_frequencies(shape):
    division = Division(np.zeros(SCAN.shape, np.float32), MASK, SCAN)
    division.shape = shape
    power = np.abs(np.fft.fftn(np.random.default_rng(0).normal(size=shape))) ** 2
    half = power[..., : shape[2] // 2 + 1]
    assert division.half_sum(half[:, :7]) + division.half_sum(half[:, 7:]) == pytest.approx(power.sum())


def test_division_is_a_product_in_the_whole_of_k_space():
    field = np.random.default_rng(1).normal(size=SCAN.shape).astype(np.float32)
    division, problem = Division(field, MASK, SCAN), Problem(field, MASK, SCAN)
    ours = division.finish(division.chi(lambda kernel, part: kernel * kernel), "mean").chi
    chi = problem.finish(problem.dipole(problem.dipole(problem.field))).chi
    np.testing.assert_allclose(ours, chi, atol=1e-6 * abs(chi).max())
