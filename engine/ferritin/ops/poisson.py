"""The Poisson equation with reflecting walls, and the volume whose gradients are nearest to wrapped differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ferritin import backend
from ferritin.backend import namespace

_TURN = 2 * math.pi


def wrap(phase: Any) -> Any:
    """Phase [rad] to [-π, π], as a new array."""
    turns = phase * np.float32(1 / _TURN)
    namespace(phase).rint(turns, out=turns)
    turns *= np.float32(-_TURN)
    turns += phase
    return turns


class Poisson:
    """Solve Σ_neighbours (u_i - u_j) = s_i on a box without flux through its walls; the mean of u is zero.

    The 7-point stencil is diagonal in the cosine basis (DCT-II), so one transform pair solves it exactly.
    """

    def __init__(self, xp: Any, shape: tuple[int, int, int]):
        lines = [2 - 2 * xp.cos(np.float32(math.pi / n) * xp.arange(n, dtype=np.float32)) for n in shape]
        self._inverse = lines[0][:, None, None] + lines[1][:, None] + lines[2]
        self._inverse[0, 0, 0] = math.inf
        xp.divide(np.float32(1), self._inverse, out=self._inverse)

    def solve(self, source: Any) -> Any:
        """(x, y, z) float32 to the same."""
        spectrum = backend.dctn(source)
        spectrum *= self._inverse
        return backend.idctn(spectrum)


def integrate_wrapped(phase: Any, weight: Any = None, *, n_iterations: int = 10, tolerance: float = 1e-3) -> Any:
    """The smooth volume whose gradients fit the wrapped differences of neighbours best, in least squares.

    Exact, up to one constant, where neighbours differ by less than π. Without weights one cosine transform pair; with
    weights conjugate gradients that the unweighted solution preconditions, a pair an iteration.

    Parameters
    ----------
    phase : (x, y, z) float32 [rad]
    weight : (x, y, z) float32, optional
        Trust in each voxel, 0 outside the mask; an edge has the smaller weight of its ends.
    n_iterations, tolerance : int, float
        Stop after so many iterations, or when the preconditioned residual norm has fallen by this factor.

    Returns
    -------
    (x, y, z) float32 [rad], mean zero; not congruent to the phase where differences exceed π.

    Notes
    -----
    Ghiglia & Romero, J Opt Soc Am A 1994;11:107 (weighted least-squares unwrapping, PCG).
    """
    xp = namespace(phase)
    poisson = Poisson(xp, phase.shape)
    edges = [None if weight is None else xp.minimum(weight[head], weight[tail]) for head, tail in map(_ends, range(3))]
    source = _divergence(phase, edges, wrap)
    if weight is None:
        return poisson.solve(source)
    u = xp.zeros_like(phase)
    z = poisson.solve(source)
    p, rz = z.copy(), _dot(source, z)
    stop = tolerance**2 * rz
    for _ in range(n_iterations):
        if bool(rz <= stop):
            break
        q = _divergence(p, edges, None)
        alpha = (rz / _dot(p, q)).astype(np.float32)
        u += alpha * p
        q *= alpha
        source -= q
        z = poisson.solve(source)
        rz, before = _dot(source, z), rz
        p *= (rz / before).astype(np.float32)
        p += z
    return u


def _dot(a: Any, b: Any) -> Any:
    """Inner product, summed in float64."""
    return (a * b).sum(dtype=np.float64)


def _ends(axis: int) -> tuple[tuple, tuple]:
    """Index of the lower and the upper ends of the edges along an axis."""
    return tuple((slice(None),) * axis + (s,) for s in (slice(None, -1), slice(1, None)))


def _divergence(u: Any, edges: list, of_step: Any) -> Any:
    """Σ_neighbours weight · (u_i - u_j), the differences passed through of_step when given."""
    out = namespace(u).zeros_like(u)
    for axis, weight in enumerate(edges):
        head, tail = _ends(axis)
        step = u[tail] - u[head]
        if of_step is not None:
            step = of_step(step)
        if weight is not None:
            step *= weight
        out[head] -= step
        out[tail] += step
    return out
