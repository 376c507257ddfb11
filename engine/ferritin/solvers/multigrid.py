"""Poisson's equation on a mask with the value 0 around it: one multigrid cycle, and conjugate gradients with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.ops.slabs import each, slabs
from ferritin.solvers.reduction import dot, ratio
from ferritin.solvers.stopping import Stopping

_SMOOTHING = (1.733, 0.5695)
"""Reciprocal Chebyshev roots for the spectrum [1/3, 2] of the modes that a coarser grid cannot hold."""
_COARSEST = 8
_COARSEST_SWEEPS = 12


class Poisson:
    """-∇² by the seven-point stencil on the voxels of a mask; the solution is 0 on all others.

    Parameters
    ----------
    inside : (x, y, z) bool with at least one empty plane on every side.
    voxel_mm : voxel edges [mm].
    """

    def __init__(self, xp: Any, inside: Any, voxel_mm: tuple[float, ...]):
        self.xp = xp
        self.levels = [_Level(xp, inside, voxel_mm)]
        while min(inside.shape) > _COARSEST:
            inside = _at_even(xp, inside)
            voxel_mm = tuple(2 * v for v in voxel_mm)
            self.levels.append(_Level(xp, inside, voxel_mm))

    def __call__(self, u: Any) -> Any:
        """-∇²u on the mask, 0 elsewhere; u must be 0 off the mask."""
        return self.levels[0].laplacian(u)

    def precondition(self, r: Any, depth: int = 0) -> Any:
        """One symmetric V-cycle: an approximate solution of -∇²u = r."""
        level = self.levels[depth]
        if depth == len(self.levels) - 1:
            u = None
            for _ in range(_COARSEST_SWEEPS):
                u = level.smooth(u, r, _SMOOTHING)
            return u
        u = level.smooth(None, r, _SMOOTHING)
        correction = self.precondition(
            self.levels[depth + 1].mask * _restrict(self.xp, level.residual(u, r)), depth + 1
        )
        fine = _prolong(self.xp, correction, r.shape)
        fine *= level.mask
        u += fine
        return level.smooth(u, r, _SMOOTHING)

    def solve(self, rhs: Any, stop: Stopping) -> Any:
        """u with -∇²u = rhs on the mask; `stop` watches the residual relative to the right-hand side."""
        xp = self.xp
        r = rhs * self.levels[0].mask
        u, start = xp.zeros_like(r), dot(xp, r, r)
        z = self.precondition(r)
        p, rz = z, dot(xp, r, z)
        while True:
            q = self(p)
            alpha = ratio(rz, dot(xp, p, q))
            u += alpha * p
            r -= alpha * q
            if stop.step(ratio(dot(xp, r, r), start) ** 0.5):
                return u
            z = self.precondition(r)
            rz, old = dot(xp, r, z), rz
            p *= ratio(rz, old)
            p += z


class _Level:
    """One grid: its mask, its stencil, its smoother."""

    def __init__(self, xp: Any, inside: Any, voxel_mm: tuple[float, ...]):
        self.xp, self.mask = xp, inside.astype(np.float32)
        self.off = [np.float32(1 / v**2) for v in voxel_mm]
        self.diagonal = np.float32(2 * sum(1 / v**2 for v in voxel_mm))
        self.parts = slabs(xp, inside.shape)

    def laplacian(self, u: Any) -> Any:
        """-∇²u on the mask."""
        out = self.xp.empty_like(u)
        each(lambda s: self._stencil(u, s, out[s]), self.parts)
        return out

    def residual(self, u: Any, r: Any) -> Any:
        """r + ∇²u on the mask."""
        out = self.laplacian(u)
        return self.xp.subtract(r, out, out=out)

    def smooth(self, u: Any, r: Any, factors: tuple[float, ...]) -> Any:
        """Jacobi steps u += factor·(r + ∇²u)/diagonal; from 0 when u is None. Overwrites and returns u."""
        for factor in factors:
            scale = np.float32(factor) / self.diagonal
            if u is None:
                u = r * scale
                continue
            change = self.residual(u, r)
            change *= scale
            u += change
        return u

    def _stencil(self, u: Any, s: slice, out: Any) -> None:
        """-∇²u at the planes s; the outermost planes are off the mask and only set to 0."""
        here = u[s]
        self.xp.multiply(here, self.diagonal, out=out)
        x, y, z = self.off
        lo, hi = max(s.start, 1), min(s.stop, u.shape[0] - 1)
        if lo < hi:
            out[lo - s.start : hi - s.start] -= x * (u[lo - 1 : hi - 1] + u[lo + 1 : hi + 1])
        out[:, 1:-1] -= y * (here[:, :-2] + here[:, 2:])
        out[:, :, 1:-1] -= z * (here[:, :, :-2] + here[:, :, 2:])
        out *= self.mask[s]


def _at_even(xp: Any, fine: Any) -> Any:
    """Every second sample along each axis, with an empty plane at the end."""
    out = xp.zeros(tuple(n // 2 + 1 for n in fine.shape), dtype=fine.dtype)
    some = fine[::2, ::2, ::2]
    out[tuple(slice(0, n) for n in some.shape)] = some
    for axis in range(3):
        out[(slice(None),) * axis + (-1,)] = 0
    return out


def _restrict(xp: Any, fine: Any) -> Any:
    """Full weighting, [1, 2, 1]/4 at every second sample along each axis."""
    for axis in range(3):
        n = fine.shape[axis]
        move = _mover(axis)
        out = xp.zeros((*fine.shape[:axis], n // 2 + 1, *fine.shape[axis + 1 :]), dtype=fine.dtype)
        even, odd = fine[move(slice(0, n, 2))], fine[move(slice(1, n, 2))]
        n_even, n_odd = even.shape[axis], odd.shape[axis]
        out[move(slice(0, n_even))] += np.float32(0.5) * even
        out[move(slice(0, n_odd))] += np.float32(0.25) * odd
        out[move(slice(1, n_odd + 1))] += np.float32(0.25) * odd
        fine = out
    return fine


def _prolong(xp: Any, coarse: Any, shape: tuple[int, int, int]) -> Any:
    """Linear interpolation onto a grid of twice the density: 8 times the adjoint of the restriction."""
    for axis, n in enumerate(shape):
        move = _mover(axis)
        out = xp.empty((*coarse.shape[:axis], n, *coarse.shape[axis + 1 :]), dtype=coarse.dtype)
        out[move(slice(0, n, 2))] = coarse[move(slice(0, (n + 1) // 2))]
        between = coarse[move(slice(0, n // 2))] + coarse[move(slice(1, n // 2 + 1))]
        between *= np.float32(0.5)
        out[move(slice(1, n, 2))] = between
        coarse = out
    return coarse


def _mover(axis: int) -> Any:
    """Index tuples that act on one axis."""
    return lambda s: (slice(None),) * axis + (s,)
