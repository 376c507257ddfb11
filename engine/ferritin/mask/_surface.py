"""Closed triangle meshes: a tessellated icosahedron, its neighbourhoods, and the voxels that a mesh encloses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_GOLDEN = (1 + 5**0.5) / 2
_ICOSAHEDRON = [
    (-1, _GOLDEN, 0), (1, _GOLDEN, 0), (-1, -_GOLDEN, 0), (1, -_GOLDEN, 0),
    (0, -1, _GOLDEN), (0, 1, _GOLDEN), (0, -1, -_GOLDEN), (0, 1, -_GOLDEN),
    (_GOLDEN, 0, -1), (_GOLDEN, 0, 1), (-_GOLDEN, 0, -1), (-_GOLDEN, 0, 1),
]  # fmt: skip


class Mesh(NamedTuple):
    """A triangulated unit sphere.

    vertices: (3, n) float64. faces: (3, m) int64, turning left seen from outside. ring: (6, n) int64, the neighbours of
    each vertex in order, turning left; the twelve vertices that have five name the last one twice. share: (6, n)
    float64, what each entry of the ring counts in the mean of the neighbours.
    """

    vertices: np.ndarray
    faces: np.ndarray
    ring: np.ndarray
    share: np.ndarray


def icosphere(subdivisions: int) -> Mesh:
    """The icosahedron with every triangle cut in four, again and again: 10 · 4^subdivisions + 2 vertices."""
    points = np.array(_ICOSAHEDRON)
    triples = np.array(np.meshgrid(*[np.arange(12)] * 3, indexing="ij")).reshape(3, -1).T
    corner = points[triples]
    edges = np.linalg.norm(corner - np.roll(corner, 1, 1), axis=2)
    outward = np.linalg.det(corner) > 0
    faces = triples[(np.abs(edges - 2) < 1e-9).all(1) & outward & (triples.argmin(1) == 0)]
    for _ in range(subdivisions):
        points, faces = _quartered(points, faces)
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    ring, share = _rings(points, faces)
    return Mesh(np.ascontiguousarray(points.T), np.ascontiguousarray(faces.T), ring, share)


def _quartered(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A new vertex on the sphere in the middle of every edge."""
    ends = np.sort(np.stack([faces, np.roll(faces, -1, 1)], 2).reshape(-1, 2), 1)
    ends, which = np.unique(ends, axis=0, return_inverse=True)
    middle = points[ends].mean(1)
    middle *= np.linalg.norm(points[0]) / np.linalg.norm(middle, axis=1, keepdims=True)
    ab, bc, ca = (which.reshape(-1, 3) + len(points)).T
    a, b, c = faces.T
    cut = np.stack([[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]])
    return np.concatenate([points, middle]), cut.transpose(0, 2, 1).reshape(-1, 3)


def _rings(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of each vertex sorted by the angle around it, seen from outside."""
    start = faces.reshape(-1)  # each edge of a closed mesh runs once each way
    end = np.roll(faces, -1, 1).reshape(-1)
    normal = points[start]
    axis = np.where(np.abs(normal[:, :1]) < 0.6, [[1.0, 0, 0]], [[0, 1.0, 0]])
    east = np.cross(axis, normal)
    north = np.cross(normal, east)
    step = points[end] - points[start]
    angle = np.arctan2(
        (step * north).sum(1) / np.linalg.norm(north, axis=1), (step * east).sum(1) / np.linalg.norm(east, axis=1)
    )
    order = np.lexsort((angle, start))
    count = np.bincount(start)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    place = np.minimum(np.arange(6)[:, None], count - 1)
    ring = end[order][first + place]
    share = np.where(np.arange(6)[:, None] < count, 1 / count, 0.0)
    return ring, share


def winding(xp: Any, vertices: Any, faces: Any, shape: tuple[int, int, int]) -> Any:
    """How often a closed mesh winds around each voxel centre: 1 inside, 0 outside, else it intersects itself.

    Every triangle is met by the lines along z that pass through it; each meeting counts for all voxels beyond it,
    upward or downward as the triangle faces.

    Parameters
    ----------
    vertices : (3, n) float64 [voxels]
    faces : (3, m) int

    Returns
    -------
    (x, y, z) int8
    """
    nx, ny, nz = shape
    x, y, z = (v + 1e-7 * (i + 1) for i, v in enumerate(vertices[:, faces]))  # no voxel centre lies on an edge
    width = [int(xp.ceil((v.max(0) - v.min(0)).max())) + 1 for v in (x, y)]
    at = [
        xp.ceil(v.min(0)) + xp.arange(w).reshape(shape) for v, w, shape in zip((x, y), width, ((-1, 1, 1), (1, -1, 1)))
    ]
    inside, height, area = True, 0.0, 0.0
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        opposite = (x[b] - x[a]) * (at[1] - y[a]) - (y[b] - y[a]) * (at[0] - x[a])
        area = area + opposite
        height = height + opposite * z[c]
        inside = inside & (opposite * ((x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])) > 0)
    inside = inside & (at[0] >= 0) & (at[0] < nx) & (at[1] >= 0) & (at[1] < ny)
    level = xp.clip(xp.ceil(height[inside] / area[inside]), 0, nz).astype(np.int64)
    column = ((at[0] * ny + at[1])[inside]).astype(np.int64) * (nz + 1)
    sign = xp.where(area[inside] > 0, -1.0, 1.0)  # entering at the lower side, whose triangles face down
    count = xp.bincount(column + level, weights=sign, minlength=nx * ny * (nz + 1))
    return xp.cumsum(count.reshape(nx, ny, nz + 1)[..., :-1].astype(np.int8), axis=2, dtype=np.int8)
