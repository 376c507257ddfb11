"""CG and LSMR against direct solution, and LSMR step by step against scipy's."""

import numpy as np
import pytest
import scipy.sparse.linalg

from ferritin.solvers.cg import conjugate_gradients
from ferritin.solvers.lsmr import lsmr
from ferritin.solvers.reduction import dot, ratio
from ferritin.solvers.stopping import Stopping

RNG = np.random.default_rng(0)
A = (RNG.normal(size=(40, 24)) * np.geomspace(1, 30, 24)).astype(np.float32)
B = RNG.normal(size=(5, 4, 2)).astype(np.float32)


def forward(x):
    return (A @ x.reshape(-1)).reshape(5, 4, 2)


def adjoint(y):
    return (A.T @ y.reshape(-1)).reshape(2, 3, 4)


def test_cg_solves_the_normal_equations():
    stop = Stopping(200, 1e-6)
    x = conjugate_gradients(np, lambda v: adjoint(forward(v)), adjoint(B), stop)
    expected = np.linalg.lstsq(A, B.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(x.reshape(-1), expected, atol=2e-4)
    assert stop.reason == "tolerance"


def test_cg_from_a_start_and_with_a_preconditioner():
    diagonal = (A**2).sum(axis=0).reshape(2, 3, 4)
    start = RNG.normal(size=(2, 3, 4)).astype(np.float32)
    kept = start.copy()
    x = conjugate_gradients(
        np,
        lambda v: adjoint(forward(v)),
        adjoint(B),
        Stopping(200, 1e-6),
        start=start,
        precondition=lambda r: r / diagonal,
    )
    np.testing.assert_allclose(x.reshape(-1), np.linalg.lstsq(A, B.reshape(-1), rcond=None)[0], atol=2e-4)
    assert np.array_equal(start, kept)


@pytest.mark.parametrize("iterations", [1, 3, 6])
def test_lsmr_is_scipys_step_by_step(iterations):
    """As long as float32 keeps the bases orthogonal; the matrix is badly conditioned."""
    x = lsmr(np, forward, adjoint, B, Stopping(iterations, 0.0))
    expected = scipy.sparse.linalg.lsmr(
        A.astype(float), B.reshape(-1).astype(float), atol=0, btol=0, maxiter=iterations
    )
    np.testing.assert_allclose(x.reshape(-1), expected[0], atol=2e-5 * np.abs(expected[0]).max() + 1e-6)


def test_lsmr_stops_by_the_residual_of_the_normal_equations():
    stop = Stopping(100, 1e-3)
    x = lsmr(np, forward, adjoint, B, stop)
    left = np.linalg.norm(adjoint(B - forward(x)))
    assert stop.reason == "tolerance"
    assert left == pytest.approx(stop.value * np.linalg.norm(adjoint(B)), rel=0.05)


def test_nothing_in_nothing_out():
    zero = np.zeros_like(B)
    assert not conjugate_gradients(np, lambda v: adjoint(forward(v)), adjoint(zero), Stopping(3, 0.0)).any()


def test_sums_over_slabs_keep_their_digits():
    """float32 within a slab, float64 over the slabs: one float32 sum would be off by 1e-3."""
    x = np.full((200, 100, 100), 0.1, np.float32)
    assert dot(np, x, x) == pytest.approx(x.size * float(np.float32(0.1)) ** 2, rel=5e-5)
    assert ratio(np.float64(1), np.float64(0)) == 0
    assert ratio(np.float64(3), np.float64(2)).dtype == np.float32
