"""Veins: sinuses of the skull, cortical veins that drain into them, and the deep system; a tree of tapering rods."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ferritin.phantom.brain import hull, inside_skull
from ferritin.phantom.shape import Distance, Shape, capsule

_TRANSVERSE = [(0, -100, -6), (25, -98, -8), (52, -78, -14), (62, -56, -22), (60, -42, -34), (48, -36, -52)]
_DEEP = [(2, 2, 3), (2.5, -14, 15), (2, -30, 15), (0, -40, 13)]
_STRAIGHT = [(0, -40, 13), (0, -62, 6), (0, -99, -6)]
_THALAMOSTRIATE = [(2, 2, 3), (9, -1, 11), (14, -12, 16), (19, -24, 17)]
_SEPTAL = [(2, 2, 3), (3, 14, 4), (5, 25, 8)]
_ROSENTHAL = [(16, 4, -15), (18, -12, -12), (12, -28, -6), (4, -36, 6), (0, -40, 13)]


class Veins:
    """A random tree.

    Attributes
    ----------
    start, end : (n, 3) float32 [mm]
    radius : (n, 2) float32 [mm]
        At the start and at the end of each rod.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rods: list[tuple] = []
        self._twigs: list[tuple] = []
        self._rng = rng
        top = self._sagittal_sinus()
        for side in (1, -1):
            self._path(_mirror(_TRANSVERSE, side), 3.0, 2.6)
            self._path(_mirror(_DEEP, side), 0.9, 1.2)
            self._path(_mirror(_ROSENTHAL, side), 0.7, 1.1)
            for trunk, radius in ((_THALAMOSTRIATE, 0.75), (_SEPTAL, 0.55)):
                self._path(_mirror(trunk, side), radius, 0.5)
                self._medullary(_mirror(trunk, side), side)
            for point in top:
                self._cortical(point, side)
        self._path(np.array(_STRAIGHT, float), 1.8, 2.4)
        twigs = np.array(self._twigs, np.float32)
        twigs = twigs[hull(*twigs[:, 3:6].T) < -0.5]  # those that have left the brain are dropped
        rods = np.concatenate([np.array(self._rods, np.float32), twigs])
        self.start, self.end, self.radius = rods[:, :3], rods[:, 3:6], rods[:, 6:]

    def rods(self) -> list[tuple[Shape, float]]:
        """Each rod as a body, with its thinnest diameter [mm]."""
        return [
            (capsule(tuple(a), tuple(b), *map(float, r)), 2 * float(r.min()))
            for a, b, r in zip(self.start, self.end, self.radius)
        ]

    def _path(self, points, r_start: float, r_end: float) -> None:
        radii = np.linspace(r_start, r_end, len(points))
        for a, b, r, s in zip(points, points[1:], radii, radii[1:]):
            self._rods.append((*a, *b, r, s))

    def _sagittal_sinus(self) -> np.ndarray:
        """Along the midline under the skull from the forehead to the back; returns where cortical veins enter."""
        angle = np.linspace(np.deg2rad(15), np.deg2rad(190), 60)
        ray = np.stack([0 * angle, np.cos(angle), np.sin(angle)], 1)
        points = np.array([_march(inside_skull, np.array([0, -17, 8.0]), r) - 0.5 * r for r in ray])
        self._path(points, 1.2, 3.4)
        return points[6:52:3] + self._rng.normal(0, 1, (16, 3)) * (0, 1, 0)

    def _cortical(self, start: np.ndarray, side: int) -> None:
        """A vein over the surface of a hemisphere, with branches that dive into the brain."""
        rng = self._rng
        p = start + np.array([side * 3.0, 0, -1])
        heading = np.array([side, rng.normal(0.3, 0.35), -0.2])
        radius, steps = rng.uniform(0.8, 1.3), int(rng.integers(14, 26))
        points = [start, p]
        for step in range(steps):
            normal = _normal(hull, p)
            heading = heading + rng.normal(0, 0.22, 3)
            heading -= (heading @ normal) * normal
            heading /= np.linalg.norm(heading)
            p = p + 4.0 * heading
            p = p - (_value(hull, p) - 0.6) * normal
            points.append(p)
            thin = radius * (1 - 0.6 * step / steps)
            if rng.random() < 0.45:
                inward = -normal + rng.normal(0, 0.35, 3)
                self._twig(p, inward, 0.6 * thin, rng.uniform(8, 22))
        self._path(points, radius, 0.4 * radius)

    def _medullary(self, trunk: np.ndarray, side: int) -> None:
        """Fine veins of the white matter, fanning out from a trunk along the ventricle."""
        rng = self._rng
        for a, b in pairwise(trunk[1:]):
            for t in np.linspace(0.1, 0.9, 4):
                outward = np.array([side * 0.8, rng.normal(0, 0.5), rng.uniform(0.3, 1.1)])
                self._twig(a + t * (b - a), outward, rng.uniform(0.32, 0.5), rng.uniform(16, 30))

    def _twig(self, p: np.ndarray, heading: np.ndarray, radius: float, length: float, order: int = 0) -> None:
        """A wandering branch that forks twice at most; radii follow Murray's law."""
        rng, step = self._rng, 3.0
        heading = heading / np.linalg.norm(heading)
        for _ in range(max(2, int(length / step))):
            heading = heading + rng.normal(0, 0.18, 3)
            heading /= np.linalg.norm(heading)
            q = p + step * heading
            self._twigs.append((*p, *q, radius, 0.96 * radius))
            p, radius = q, 0.96 * radius
            if order < 2 and rng.random() < 0.14:
                side = np.cross(heading, rng.normal(size=3))
                self._twig(p, heading + 0.8 * side, radius * 0.8, 0.6 * length, order + 1)
                radius *= (1 - 0.8**3) ** (1 / 3)


def _mirror(points, side: int) -> np.ndarray:
    return np.array(points, float) * (side, 1, 1)


def _value(distance: Distance, p: np.ndarray) -> float:
    return float(distance(*np.asarray(p, np.float32).reshape(3, 1))[0])


def _normal(distance: Distance, p: np.ndarray, h: float = 0.5) -> np.ndarray:
    """Outward unit normal by central differences."""
    around = np.repeat(np.asarray(p, np.float32)[:, None], 6, 1)
    around[[0, 1, 2], [0, 1, 2]] += h
    around[[0, 1, 2], [3, 4, 5]] -= h
    value = distance(*around)
    gradient = (value[:3] - value[3:]).astype(np.float64)
    return gradient / max(np.linalg.norm(gradient), 1e-9)


def _march(distance: Distance, start: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Where a ray from inside leaves a body."""
    p = start.copy()
    for _ in range(40):
        p = p - 0.8 * _value(distance, p) * direction
    return p
