"""Multigrid: Poisson's equation against a direct sparse solver, symmetry of the cycle, speed of convergence."""

import numpy as np
import pytest
import scipy.ndimage as ndi
import scipy.sparse as sparse

from ferritin.solvers.multigrid import Poisson
from ferritin.solvers.stopping import Stopping
from properties.adjoint import assert_adjoint


def blob(shape, seed=0):
    mask = ndi.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3) > -0.02
    for axis in range(3):
        mask[(slice(None),) * axis + ([0, -1],)] = False
    return mask


def direct(mask, rhs, voxel):
    """The seven-point system as a sparse matrix, solved by elimination."""
    index = -np.ones(mask.shape, int)
    index[mask] = np.arange(mask.sum())
    entries = [(index[mask], index[mask], np.full(mask.sum(), 2 * sum(1 / v**2 for v in voxel)))]
    for axis, v in enumerate(voxel):
        for step in (-1, 1):
            other = np.roll(index, step, axis)[mask]
            there = other >= 0
            entries.append((index[mask][there], other[there], np.full(there.sum(), -1 / v**2)))
    rows, columns, values = (np.concatenate(e) for e in zip(*entries))
    out = np.zeros(mask.shape)
    out[mask] = sparse.linalg.spsolve(sparse.csc_matrix((values, (rows, columns))), rhs[mask].astype(float))
    return out


@pytest.mark.parametrize(("shape", "voxel"), [((24, 20, 22), (1, 1, 1)), ((25, 21, 18), (1.0, 1.3, 1.7))])
def test_against_elimination(shape, voxel):
    mask = blob(shape)
    rhs = np.random.default_rng(1).normal(size=shape).astype(np.float32) * mask
    stop = Stopping(60, 1e-6)
    found = Poisson(np, mask, voxel).solve(rhs, stop)
    np.testing.assert_allclose(found, direct(mask, rhs, voxel), atol=1e-4)
    assert stop.reason == "tolerance"


def test_iterations_do_not_grow_with_the_size():
    counts = []
    for n in (24, 48, 96):
        x, y, z = np.ogrid[:n, :n, :n]
        mask = (x - n / 2) ** 2 + (y - n / 2) ** 2 + (z - n / 2) ** 2 < (0.45 * n) ** 2
        rhs = np.random.default_rng(2).normal(size=mask.shape).astype(np.float32)
        stop = Stopping(60, 1e-4)
        Poisson(np, mask, (1, 1, 1)).solve(rhs, stop)
        counts.append(stop.done)
    assert max(counts) <= 8


def test_the_cycle_is_symmetric_and_positive():
    mask = blob((26, 24, 20))
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=mask.shape).astype(np.float32) * mask for _ in range(2))
    poisson = Poisson(np, mask, (1, 1, 1.5))
    assert_adjoint(poisson.precondition, poisson.precondition, a, b)
    assert_adjoint(poisson, poisson, a, b)
    assert np.vdot(a, poisson.precondition(a)) > 0


def test_zero_right_hand_side_gives_zero():
    mask = blob((20, 20, 20))
    assert not Poisson(np, mask, (1, 1, 1)).solve(np.zeros(mask.shape, np.float32), Stopping(5, 1e-4)).any()
