"""How far a field may stray from the data: proximal steps, voxel by voxel, for the split solvers.

Each is called as `fidelity(xp, v, data, weight, rho, out)` on slabs and writes into `out` the y that minimises
weight-of-the-misfit(y − data) + rho/2·(y − v)². `weight` is what `weighting` makes of the data weights w.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Fidelity(Protocol):
    """The misfit's penalty and its proximal step."""

    def weighting(self, xp: Any, w: Any) -> Any: ...

    def __call__(self, xp: Any, v: Any, data: Any, weight: Any, rho: Any, out: Any) -> None: ...


@dataclass(frozen=True)
class Squared:
    """½w²(y − d)²: Gaussian noise in the field."""

    def weighting(self, xp: Any, w: Any) -> Any:
        return w * w

    def __call__(self, xp: Any, v: Any, data: Any, weight: Any, rho: Any, out: Any) -> None:
        xp.multiply(v, rho, out=out)
        out += weight * data
        out /= weight + rho


@dataclass(frozen=True)
class Absolute:
    """w|y − d|: a share of the data may be anything."""

    def weighting(self, xp: Any, w: Any) -> Any:
        return w

    def __call__(self, xp: Any, v: Any, data: Any, weight: Any, rho: Any, out: Any) -> None:
        reach = weight / rho
        xp.subtract(v, data, out=out)
        xp.clip(out, -reach, reach, out=reach)
        out -= reach
        out += data


@dataclass(frozen=True)
class Phase:
    """w²(1 − cos s(y − d))/s²: Gaussian noise in the complex signal; data that differ by 2π/s are the same.

    scale: s, rad per unit of the field. Newton's steps with the largest curvature in place of the local one, which may
    be negative: each lowers the sum, and near the data they are Newton's.
    """

    scale: float
    steps: int = 5

    def weighting(self, xp: Any, w: Any) -> Any:
        return w * w

    def __call__(self, xp: Any, v: Any, data: Any, weight: Any, rho: Any, out: Any) -> None:
        s = np.float32(self.scale)
        xp.multiply(v, 1, out=out)
        for _ in range(self.steps):
            angle = (out - data) * s
            slope = weight * xp.sin(angle) / s + rho * (out - v)
            out -= slope / (weight + rho)


@dataclass(frozen=True)
class AbsolutePhase:
    """w·2|sin(s(y − d)/2)|/s, which is w|exp(isy) − exp(isd)|/s: outliers in the complex signal."""

    scale: float
    steps: int = 4

    def weighting(self, xp: Any, w: Any) -> Any:
        return w

    def __call__(self, xp: Any, v: Any, data: Any, weight: Any, rho: Any, out: Any) -> None:
        s = np.float32(self.scale)
        nearest = data + xp.round((v - data) * s * np.float32(0.5 / np.pi)) * np.float32(2 * np.pi) / s
        way = v - nearest
        size = abs(way)
        left = xp.maximum(size - weight / rho, 0)
        for _ in range(self.steps):
            left = xp.maximum(size - weight * xp.cos(left * (s / 2)) / rho, 0) * (left > 0)
        xp.multiply(xp.sign(way), left, out=out)
        out += nearest
