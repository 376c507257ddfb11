"""Closed forms in one sweep: the cone that they cut, and the division itself against whole arrays."""

import numpy as np
import pytest

from ferritin.inversion.division import Division, cone
from ferritin.inversion.problem import Problem
from properties.fields import scan_of

SCAN = scan_of((20, 18, 16), (1.0, 1.2, 0.9), (0.3, 0.2, 0.9))
MASK = np.zeros(SCAN.shape, bool)
MASK[4:15, 4:14, 4:12] = True


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5])
def test_cone_is_where_the_kernel_is_small(threshold):
    low, high = cone(threshold)
    cosine = np.linspace(0, 1, 200_001)
    small = cosine[abs(1 / 3 - cosine**2) < threshold]
    assert (small[0], small[-1]) == pytest.approx((low, high), abs=1e-5)


def test_division_is_a_product_in_the_whole_of_k_space():
    field = np.random.default_rng(1).normal(size=SCAN.shape).astype(np.float32)
    division, problem = Division(field, MASK, SCAN), Problem(field, MASK, SCAN)
    ours = division.finish(division.chi(lambda kernel, part: kernel * kernel), "mean").chi
    chi = problem.finish(problem.dipole(problem.dipole(problem.field))).chi
    np.testing.assert_allclose(ours, chi, atol=1e-6 * abs(chi).max())
