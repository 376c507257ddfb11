"""Finite differences on a periodic box: gradient, its adjoint, and the spectrum of their product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ferritin.ops.slabs import each, slabs


class Gradient:
    """Forward differences divided by a step per axis (voxel edges in mm: 1/mm); the adjoint is minus the divergence.

    The slab forms do the same for some planes of the first axis, so that a loop over slabs stays in the cache.
    """

    def __init__(self, step: tuple[float, float, float]):
        self.step = tuple(np.float32(s) for s in step)

    def __call__(self, xp: Any, x: Any) -> Any:
        """Gradient of (x, y, z): (3, x, y, z) of the same dtype."""
        return self.on_slab(xp, x, slice(0, x.shape[0]))

    def adjoint(self, xp: Any, g: Any) -> Any:
        """Adjoint of the gradient: (3, x, y, z) to (x, y, z)."""
        out = xp.zeros(g.shape[1:], g.dtype)
        self.add_adjoint_of_slab(xp, g.copy(), slice(0, g.shape[1]), out)
        return out

    def on_slab(self, xp: Any, x: Any, s: slice) -> Any:
        """Gradient at the planes s: (3, len(s), y, z)."""
        out = xp.empty((3, s.stop - s.start, *x.shape[1:]), x.dtype)
        here = x[s]
        xp.subtract(x[s.start + 1 : s.stop], here[:-1], out=out[0, :-1])
        xp.subtract(x[s.stop % x.shape[0]], here[-1], out=out[0, -1])
        for axis in (1, 2):
            head, tail, first, last = _parts(axis)
            xp.subtract(here[tail], here[head], out=out[axis][head])
            xp.subtract(here[first], here[last], out=out[axis][last])
        for axis, step in enumerate(self.step):
            if step != 1:
                out[axis] /= step
        return out

    def add_adjoint_of_slab(self, xp: Any, g: Any, s: slice, out: Any) -> None:
        """out += adjoint of g, which is zero but on the planes s. Overwrites g; touches the plane after s."""
        for axis, step in enumerate(self.step):
            if step != 1:
                g[axis] /= step
        here = out[s]
        here -= g[0]
        here[1:] += g[0, :-1]
        out[s.stop % out.shape[0]] += g[0, -1]
        for axis in (1, 2):
            head, tail, first, last = _parts(axis)
            here -= g[axis]
            here[tail] += g[axis][head]
            here[first] += g[axis][last]

    def add_normal(self, xp: Any, x: Any, weigh: Callable[[Any, slice], None], out: Any) -> None:
        """out += adjoint(W gradient(x)); `weigh(g, s)` multiplies the gradient on the planes s by W in place."""

        def part(s: slice) -> None:
            g = self.on_slab(xp, x, s)
            weigh(g, s)
            self.add_adjoint_of_slab(xp, g, s, out)

        each(part, slabs(xp, x.shape), neighbours=True)

    def normal_spectrum(self, xp: Any, shape: tuple[int, int, int]) -> Any:
        """Half spectrum of adjoint(gradient): Σ (2 - 2 cos 2πν)/step², float32."""
        return self.normal_parts(xp, shape)((slice(None), slice(None)))

    def normal_parts(
        self, xp: Any, shape: tuple[int, int, int], floor: float = 0.0
    ) -> Callable[[tuple[slice, slice]], Any]:
        """`normal_spectrum` plus a floor, for those who need each part once: a function of the slices along x and y."""
        lines = []
        for axis, (n, step) in enumerate(zip(shape, self.step)):
            nu = xp.arange(n // 2 + 1 if axis == 2 else n, dtype=np.float32) / np.float32(n)
            line = (2 - 2 * xp.cos(np.float32(2 * np.pi) * nu)) / step**2
            lines.append(line.reshape([-1 if a == axis else 1 for a in range(3)]))
        lines[2] += np.float32(floor)
        return lambda part: (lines[0][part[0]] + lines[1][:, part[1]]) + lines[2]

    def spectra(self, xp: Any, shape: tuple[int, int, int]) -> tuple[list[Any], list[Any]]:
        """Half spectra of the forward and of the backward differences along each axis, for broadcasting, complex64."""
        forward, backward = [], []
        for axis, (n, step) in enumerate(zip(shape, self.step)):
            index = xp.arange(n // 2 + 1 if axis == 2 else n, dtype=np.float32)
            turn = xp.exp(np.complex64(2j * np.pi / n) * index).reshape([-1 if a == axis else 1 for a in range(3)])
            forward.append((turn - 1) / step)
            backward.append((1 - xp.conj(turn)) / step)
        return forward, backward

    @property
    def norm2(self) -> float:
        """Tight bound on the squared norm, reached on even lengths: Σ 4/step²."""
        return float(sum(4 / s**2 for s in self.step))


def relative_step(voxel_mm: tuple[float, ...]) -> tuple[float, ...]:
    """Voxel edges over their geometric mean: differences per voxel, with anisotropy respected."""
    mean = float(np.prod(voxel_mm)) ** (1 / 3)
    return tuple(1.0 if abs(v / mean - 1) < 1e-6 else v / mean for v in voxel_mm)


def _parts(axis: int) -> tuple[tuple, ...]:
    """Index tuples along one axis: all but the last, all but the first, the first, the last."""
    return tuple((slice(None),) * axis + (s,) for s in (slice(None, -1), slice(1, None), 0, -1))
