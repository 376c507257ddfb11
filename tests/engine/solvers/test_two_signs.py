"""Two maps of opposite sign: the pair of each voxel against scipy, and the optimum's own conditions."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from ferritin.ops.dipole import dipole_kernel
from ferritin.ops.gradient import Gradient
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.two_signs import TwoSigns

SHAPE = (16, 18, 20)


def problem(**changes):
    rng = np.random.default_rng(0)
    given = {
        "kernel": dipole_kernel(np, SHAPE, (1.0, 1.0, 1.0), (0.0, 0.6, 0.8)),
        "data": rng.normal(size=SHAPE).astype(np.float32) * np.float32(0.1),
        "weight": rng.random(SHAPE, np.float32),
        "distance": rng.random(SHAPE, np.float32),
        "certainty": rng.random(SHAPE, np.float32),
        "gains": (1.2, 0.8),
        "prior": np.full(SHAPE, 0.01, np.float32),
        "step": (1.0, 1.0, 1.0),
    }
    return TwoSigns(**given | changes)


def test_the_pair_of_each_voxel_is_that_of_bounded_least_squares():
    solver, rng = problem(), np.random.default_rng(1)
    at, nu = rng.normal(size=(2, *SHAPE)).astype(np.float32), np.float32(0.3)
    solver.distance = rng.normal(size=SHAPE).astype(np.float32)
    p, m = solver._signed(np, at, slice(0, SHAPE[0]), nu)
    a, b = solver.gains
    for i in map(tuple, rng.integers(0, 16, (60, 3))):
        v = np.sqrt(solver.certainty[i])
        matrix = np.array([[np.sqrt(nu), 0], [0, np.sqrt(nu)], [v * a, -v * b]])
        rhs = np.array([np.sqrt(nu) * at[0][i], np.sqrt(nu) * at[1][i], v * solver.distance[i]])
        best = lsq_linear(matrix, rhs, ([0, -np.inf], [np.inf, 0]), tol=1e-12).x
        np.testing.assert_allclose((p[i], m[i]), best, atol=2e-5)


def objective(solver, p, m):
    model = np.fft.irfftn(np.fft.rfftn(p + m) * solver.kernel, SHAPE, axes=(0, 1, 2))
    a, b = solver.gains
    total = 0.5 * (solver.weight * (model - solver.data) ** 2).sum()
    total += 0.5 * (solver.certainty * (a * p - b * m - solver.distance) ** 2).sum()
    for x in (p, m):
        total += (solver.prior * np.sqrt((Gradient(solver.step)(np, x.astype(np.float64)) ** 2).sum(axis=0))).sum()
    return total


def test_no_step_of_right_sign_lowers_the_sum():
    """At the minimum of a convex function nothing nearby is lower; random feasible directions are tried."""
    solver = problem()
    p, m = solver.solve(np, Stopping(1500, 1e-6, every=50))
    assert p.min() >= 0 >= m.max()
    least, rng = objective(solver, p, m), np.random.default_rng(2)
    for _ in range(20):
        far = rng.normal(size=(2, *SHAPE)) * 10 ** rng.uniform(-3, -1)
        near = objective(solver, np.maximum(p + far[0], 0), np.minimum(m + far[1], 0))
        assert near > least * (1 - 1e-6)
    assert objective(solver, p * 1.01, m) > least * (1 - 1e-6)
    assert objective(solver, p, m * 0.99) > least * (1 - 1e-6)


@pytest.mark.parametrize("penalties", [(0.1, 0.03, 0.03), (0.01, 0.1, 0.1)])
def test_penalties_change_the_way_not_the_solution(penalties):
    rho, mu, nu = penalties
    one = problem().solve(np, Stopping(1500, 1e-6, every=50))
    other = problem(data_penalty=rho, prior_penalty=mu, sign_penalty=nu).solve(np, Stopping(1500, 1e-6, every=50))
    for x, y in zip(one, other):
        assert np.linalg.norm(x - y) < 0.02 * np.linalg.norm(x)
