"""The dipole relation as a local stencil: ∇²field = □chi with □ = ∇²/3 − (b·∇)², B0 along b at any angle."""

from __future__ import annotations

from typing import Any

import numpy as np


class Wave:
    """□ on a periodic box: second differences along the axes, central ones for the mixed derivatives. Self-adjoint.

    laplacian=True leaves out the B0 term: ∇² alone.
    """

    def __init__(self, voxel_mm: tuple[float, ...], b0_dir: tuple[float, ...], *, laplacian: bool = False):
        third, b = (1.0, (0.0, 0.0, 0.0)) if laplacian else (1 / 3, b0_dir)
        self.along = [np.float32((third - c * c) / v**2) for c, v in zip(b, voxel_mm)]
        self.mixed = {
            (i, j): np.float32(-2 * b[i] * b[j] / (4 * voxel_mm[i] * voxel_mm[j]))
            for i, j in ((0, 1), (0, 2), (1, 2))
            if abs(b[i] * b[j]) > 1e-6
        }

    @property
    def row_sum(self) -> float:
        """Sum of the stencil's absolute values: bounds its norm."""
        return float(4 * sum(abs(a) for a in self.along) + 4 * sum(abs(m) for m in self.mixed.values()))

    def on_slab(self, xp: Any, x: Any, s: slice) -> Any:
        """□x at the planes s of the first axis."""
        planes = xp.take(x, xp.arange(s.start - 1, s.stop + 1) % x.shape[0], axis=0)
        here = planes[1:-1]
        out = (-2 * sum(self.along)) * here
        out += self.along[0] * (planes[:-2] + planes[2:])
        for axis in (1, 2):
            out += self.along[axis] * (xp.roll(here, 1, axis=axis) + xp.roll(here, -1, axis=axis))
        for (i, j), factor in self.mixed.items():
            first = planes[2:] - planes[:-2] if i == 0 else xp.roll(here, -1, axis=i) - xp.roll(here, 1, axis=i)
            out += factor * (xp.roll(first, -1, axis=j) - xp.roll(first, 1, axis=j))
        return out

    def __call__(self, xp: Any, x: Any) -> Any:
        """□x, (x, y, z)."""
        return self.on_slab(xp, x, slice(0, x.shape[0]))
