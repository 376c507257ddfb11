"""The symmetrised gradient of a vector field by backward differences, and its adjoint: the second order of TGV."""

from __future__ import annotations

from typing import Any

import numpy as np

PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""Components: the diagonal, then the halves off it, which count twice in a norm."""


class SymmetricGradient:
    """(E w)_ij = (∂_i w_j + ∂_j w_i)/2 on a periodic box, ∂ the backward difference over the step of its axis."""

    def __init__(self, step: tuple[float, float, float]):
        self.step = tuple(np.float32(s) for s in step)

    def __call__(self, xp: Any, w: Any) -> Any:
        """(3, x, y, z) to (6, x, y, z)."""
        return self.on_slab(xp, w, slice(0, w.shape[1]))

    def adjoint(self, xp: Any, e: Any) -> Any:
        """Adjoint with the components off the diagonal counted twice: (6, x, y, z) to (3, x, y, z)."""
        out = xp.zeros((3, *e.shape[1:]), dtype=e.dtype)
        self.add_adjoint_of_slab(xp, e, slice(0, e.shape[1]), out)
        return out

    def on_slab(self, xp: Any, w: Any, s: slice) -> Any:
        """E w at the planes s of the first axis; w may be a list of three volumes."""
        out = xp.empty((6, s.stop - s.start, *w[0].shape[1:]), dtype=w[0].dtype)
        for n, (i, j) in enumerate(PAIRS):
            out[n] = self._backward(xp, w[j], i, s)
            if i != j:
                out[n] += self._backward(xp, w[i], j, s)
                out[n] *= np.float32(0.5)
        return out

    def _backward(self, xp: Any, x: Any, axis: int, s: slice) -> Any:
        here = x[s]
        if axis == 0:
            before = xp.empty_like(here)
            before[1:] = here[:-1]
            before[0] = x[(s.start - 1) % x.shape[0]]
        else:
            before = xp.roll(here, 1, axis=axis)
        return (here - before) / self.step[axis]

    def add_adjoint_of_slab(self, xp: Any, e: Any, s: slice, out: Any) -> None:
        """out += Eᵀe, e zero but on the planes s; touches the plane before s."""
        for n, (i, j) in enumerate(PAIRS):
            self._add(xp, e[n], i, s, out[j])
            if i != j:
                self._add(xp, e[n], j, s, out[i])

    def _add(self, xp: Any, e: Any, axis: int, s: slice, out: Any) -> None:
        scaled = e / self.step[axis]
        here = out[s]
        here += scaled
        if axis == 0:
            here[:-1] -= scaled[1:]
            out[(s.start - 1) % out.shape[0]] -= scaled[0]
        else:
            here -= xp.roll(scaled, -1, axis=axis)
