"""Spherical mean values: the ball as a convolution kernel, and where a ball fits into a mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ferritin.backend import namespace, ndimage
from ferritin.ops.slabs import each, slabs

_ROUNDING = 1 + 1e-5
"""Radii and distances that differ by less are the same: voxel edges from an oblique affine are off by rounding."""


def ball_spectrum(xp: Any, shape: tuple[int, int, int], voxel_mm: tuple[float, ...], radius_mm: float) -> Any:
    """Half spectrum of the ball of all voxels whose centre lies within the radius, normalised to sum 1.

    Returns (x, y, z//2+1) float32; real, since the ball is even.
    """
    parts = ball_parts(xp, shape, voxel_mm, radius_mm)
    ball = xp.empty((*shape[:2], shape[2] // 2 + 1), np.float32)

    def fill(s: slice) -> None:
        ball[s] = parts((s, slice(None)))

    each(fill, slabs(xp, ball.shape))
    return ball


def ball_parts(
    xp: Any, shape: tuple[int, int, int], voxel_mm: tuple[float, ...], radius_mm: float
) -> Callable[[tuple[slice, slice]], Any]:
    """`ball_spectrum` for those who need each part of it once: a function of the slices along x and y.

    The ball is small and even: products of an eighth of it with matrices of cosines are less work than a transform of
    the volume. The last is one matrix for each y, so small that BLAS leaves the threads to us.
    """
    squares, cosines = [], []
    for axis, (n, v) in enumerate(zip(shape, voxel_mm)):
        at = np.arange(min(n // 2, int(radius_mm * _ROUNDING / v)) + 1)
        squares.append(((at * v) ** 2).reshape([-1 if a == axis else 1 for a in range(3)]))
        k = np.arange(n // 2 + 1 if axis == 2 else n)
        twice = np.where((at == 0) | (2 * at == n), 1, 2)  # how many voxels lie at that distance along the axis
        cosines.append(twice * np.cos(2 * np.pi / n * k[:, None] * at))
    ball = (squares[0] + squares[1] + squares[2] <= (radius_mm * _ROUNDING) ** 2).astype(np.float64)
    rows = np.einsum("yb,abz->yaz", cosines[1], ball @ cosines[2].T)
    rows /= cosines[0][0] @ rows[0, :, 0]
    x, rows = (xp.asarray(np.ascontiguousarray(m, np.float32)) for m in (cosines[0], rows))
    return lambda part: (x[part[0]] @ rows[part[1]]).transpose(1, 0, 2)


def depth_mm(mask: Any, voxel_mm: tuple[float, ...], *, walls: bool = True, reach_mm: float | None = None) -> Any:
    """Distance [mm] of each voxel to the nearest voxel centre outside the mask, (x, y, z) float32; see `fits`.

    walls: what lies beyond the volume counts as outside. Without, a mask that fills the volume is infinitely deep.
    reach_mm: larger distances are infinite, and need not be found: much faster when it is a few voxels.
    """
    xp = namespace(mask)
    if reach_mm is not None:
        return _near_depth(xp, mask, voxel_mm, walls, reach_mm)
    if not walls:
        if bool(mask.all()):
            return xp.full(mask.shape, np.float32(math.inf))
        return ndimage(mask).distance_transform_edt(mask, sampling=list(voxel_mm)).astype(np.float32)
    padded = xp.zeros(tuple(n + 2 for n in mask.shape), dtype=bool)
    padded[1:-1, 1:-1, 1:-1] = mask
    depth = ndimage(mask).distance_transform_edt(padded, sampling=list(voxel_mm))
    return depth[1:-1, 1:-1, 1:-1].astype(np.float32)


def _near_depth(xp: Any, mask: Any, voxel_mm: tuple[float, ...], walls: bool, reach_mm: float) -> Any:
    """Squares of distances add up along the axes: the least over the neighbours in reach, one axis after the other."""
    depth = xp.empty(mask.shape, np.float32)

    def along(axis: int, here: Any) -> None:
        n, v = mask.shape[axis], np.float32(voxel_mm[axis])
        least = here.copy()
        for j in range(1, min(n - 1, int(reach_mm * _ROUNDING / voxel_mm[axis])) + 1):
            farther = here + (j * v) ** 2
            low, high = ((slice(None),) * axis + (s,) for s in (slice(None, -j), slice(j, None)))
            xp.minimum(least[low], farther[high], out=least[low])
            xp.minimum(least[high], farther[low], out=least[high])
        if walls:
            index = xp.arange(n, dtype=np.float32)
            wall = (xp.minimum(index + 1, n - index) * v) ** 2
            xp.minimum(least, wall.reshape([-1 if a == axis else 1 for a in range(3)]), out=least)
        here[...] = least

    def plane(s: slice) -> None:
        depth[s] = xp.where(mask[s], np.float32(math.inf), np.float32(0))
        along(2, depth[s])
        along(1, depth[s])

    def column(s: slice) -> None:
        here = depth[:, s].copy()
        along(0, here)
        here[here > np.float32(reach_mm * _ROUNDING) ** 2] = np.float32(math.inf)
        xp.sqrt(here, out=depth[:, s])

    each(plane, slabs(xp, mask.shape))
    each(column, slabs(xp, (mask.shape[1], mask.shape[0], mask.shape[2])))
    return depth


def fits(depth: Any, radius_mm: float) -> Any:
    """Where a ball of the radius, centred on a voxel, lies in the mask whose depth is given; bool."""
    return depth > np.float32(radius_mm * _ROUNDING)


def erode(mask: Any, radius_mm: float, voxel_mm: tuple[float, ...], *, walls: bool = True) -> Any:
    """The mask where a ball of the radius fits, bool; see `depth_mm` for the walls."""
    return fits(depth_mm(mask, voxel_mm, walls=walls, reach_mm=radius_mm), radius_mm)
