"""Finite differences on a periodic box: gradient, its adjoint, and the spectrum of their product."""

from __future__ import annotations

from typing import Any

import numpy as np


class Gradient:
    """Forward differences divided by the voxel size, [1/mm]; the adjoint is minus the backward divergence."""

    def __init__(self, voxel_mm: tuple[float, ...]):
        self.step = tuple(np.float32(v) for v in voxel_mm)

    def __call__(self, xp: Any, x: Any, out: Any = None) -> Any:
        """Gradient of (x, y, z): (3, x, y, z), the same dtype; written into `out` when given."""
        out = xp.empty((3, *x.shape), x.dtype) if out is None else out
        for axis, step in enumerate(self.step):
            head, tail, first, last = _parts(axis)
            g = out[axis]
            xp.subtract(x[tail], x[head], out=g[head])
            xp.subtract(x[first], x[last], out=g[last])
            g /= step
        return out

    def adjoint(self, xp: Any, g: Any, out: Any = None) -> Any:
        """Adjoint of the gradient: (3, x, y, z) to (x, y, z)."""
        out = xp.empty(g.shape[1:], g.dtype) if out is None else out
        out[...] = 0
        for axis, step in enumerate(self.step):
            head, tail, first, last = _parts(axis)
            scaled = g[axis] / step
            out -= scaled
            out[tail] += scaled[head]
            out[first] += scaled[last]
        return out

    def normal_spectrum(self, xp: Any, shape: tuple[int, int, int]) -> Any:
        """Half spectrum of adjoint(gradient): Σ (2 - 2 cos 2πν)/step², float32 [1/mm²]."""
        total = 0
        for axis, (n, step) in enumerate(zip(shape, self.step)):
            nu = xp.arange(n // 2 + 1 if axis == 2 else n, dtype=np.float32) / np.float32(n)
            line = (2 - 2 * xp.cos(np.float32(2 * np.pi) * nu)) / step**2
            total = total + line.reshape([-1 if a == axis else 1 for a in range(3)])
        return total

    @property
    def norm2(self) -> float:
        """Tight bound on the squared norm, reached on even lengths: Σ 4/step²."""
        return float(sum(4 / s**2 for s in self.step))


def _parts(axis: int) -> tuple[tuple, ...]:
    """Index tuples along one axis: all but the last, all but the first, the first, the last."""
    return tuple((slice(None),) * axis + (s,) for s in (slice(None, -1), slice(1, None), 0, -1))
