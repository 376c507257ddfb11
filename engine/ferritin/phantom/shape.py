"""Signed distances [mm] to simple bodies, negative inside: the strokes that the head is drawn with.

Each is a function of coordinate arrays x, y, z [mm]; the distance is exact to first order at the surface.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Shape:
    """A body: its signed distance and a box that holds it."""

    distance: Distance
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def mirrored(self) -> Shape:
        """The same on the other side of the head."""
        return replace(
            self,
            distance=lambda x, y, z: self.distance(-x, y, z),
            low=(-self.high[0], *self.low[1:]),
            high=(-self.low[0], *self.high[1:]),
        )


def ellipsoid(
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    power: float = 2.0,
) -> Shape:
    """Ellipsoid, or with a power above 2 a rounded box; turned about z (yaw, then about x by pitch) [degrees]."""
    cy, sy, cp, sp = (f(np.deg2rad(a)) for a in (yaw, pitch) for f in (np.cos, np.sin))
    turn = np.array([[cy, sy, 0], [-sy, cy, 0], [0, 0, 1]])
    turn = (np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]]) @ turn).astype(np.float32)
    reach = float(max(radii)) * 3 ** (0.5 - 1 / power) if (yaw or pitch) else 0
    reach = [reach or r for r in radii]

    def distance(x, y, z):
        p = x - np.float32(centre[0]), y - np.float32(centre[1]), z - np.float32(centre[2])
        if yaw or pitch:
            p = tuple(row[0] * p[0] + row[1] * p[1] + row[2] * p[2] for row in turn)
        scaled = [np.abs(a) / np.float32(r) for a, r in zip(p, radii)]
        if power == 2:
            norm = np.sqrt(sum(s * s for s in scaled))
            steep = np.sqrt(sum((s / np.float32(r)) ** 2 for s, r in zip(scaled, radii)))
            return (norm - 1) * norm / np.maximum(steep, np.float32(1e-6))
        norm = sum(s**power for s in scaled) ** np.float32(1 / power)
        steep = np.sqrt(sum((s ** (power - 1) / np.float32(r)) ** 2 for s, r in zip(scaled, radii)))
        return (norm - 1) * norm ** np.float32(power - 1) / np.maximum(steep, np.float32(1e-6))

    low, high = (tuple(c + sign * r for c, r in zip(centre, reach)) for sign in (-1, 1))
    return Shape(distance, low, high)


def capsule(start: tuple, end: tuple, r_start: float, r_end: float | None = None) -> Shape:
    """A rod with round ends, its radius going from r_start to r_end."""
    r_end = r_start if r_end is None else r_end
    a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
    along = b - a
    length2 = np.float32(max(float(along @ along), 1e-9))

    def distance(x, y, z):
        p = x - a[0], y - a[1], z - a[2]
        t = np.clip((p[0] * along[0] + p[1] * along[1] + p[2] * along[2]) / length2, 0, 1)
        away = sum((q - t * v) ** 2 for q, v in zip(p, along))
        return np.sqrt(away) - (np.float32(r_start) + t * np.float32(r_end - r_start))

    r = max(r_start, r_end)
    return Shape(distance, tuple(np.minimum(a, b) - r), tuple(np.maximum(a, b) + r))


def tube(points: list[tuple], radii: list[float], blend: float = 2.0) -> Shape:
    """Capsules through points, melted into one."""
    parts = [capsule(a, b, r, s) for a, b, r, s in zip(points, points[1:], radii, radii[1:])]
    return union(*parts, blend=blend)


def union(*shapes: Shape, blend: float = 0.0) -> Shape:
    """All bodies together; with a blend [mm] their joints are rounded."""

    def distance(x, y, z):
        out = shapes[0].distance(x, y, z)
        for s in shapes[1:]:
            out = smooth_min(out, s.distance(x, y, z), blend)
        return out

    low = tuple(min(s.low[i] for s in shapes) - blend for i in range(3))
    return Shape(distance, low, tuple(max(s.high[i] for s in shapes) + blend for i in range(3)))


def smooth_min(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """The lesser of two distances, rounded over `blend` mm (a parabola where they are near each other)."""
    if not blend:
        return np.minimum(a, b)
    h = np.maximum(np.float32(blend) - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h / np.float32(4 * blend)


def smooth_max(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """The greater of two distances, rounded: the common part of two bodies."""
    return -smooth_min(-a, -b, blend)
