"""Spherical mean values: the ball as a convolution kernel, and where a ball fits into a mask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ferritin.backend import namespace, ndimage, rfftn
from ferritin.ops.slabs import each, slabs

_ROUNDING = 1 + 1e-5
"""Radii and distances that differ by less are the same: voxel edges from an oblique affine are off by rounding."""


def ball_spectrum(xp: Any, shape: tuple[int, int, int], voxel_mm: tuple[float, ...], radius_mm: float) -> Any:
    """Half spectrum of the ball of all voxels whose centre lies within the radius, normalised to sum 1.

    Returns (x, y, z//2+1) float32; real, since the ball is even.
    """
    return ball_transform(xp, shape, voxel_mm, radius_mm).real.copy()


def ball_transform(xp: Any, shape: tuple[int, int, int], voxel_mm: tuple[float, ...], radius_mm: float) -> Any:
    """`ball_spectrum` as its FFT leaves it: complex64, with an imaginary part of rounding alone."""
    squares = []
    for axis, (n, v) in enumerate(zip(shape, voxel_mm)):
        index = xp.arange(n, dtype=np.float32)
        distance = xp.minimum(index, n - index) * np.float32(v)
        squares.append((distance**2).reshape([-1 if a == axis else 1 for a in range(3)]))
    ball, plane = xp.empty(shape, np.float32), squares[1] + squares[2]

    def fill(s: slice) -> None:
        ball[s] = squares[0][s] + plane <= np.float32(radius_mm * _ROUNDING) ** 2

    each(fill, slabs(xp, shape))
    ball *= 1 / ball.sum()
    return rfftn(ball)


def depth_mm(mask: Any, voxel_mm: tuple[float, ...], *, walls: bool = True) -> Any:
    """Distance [mm] of each voxel to the nearest voxel centre outside the mask, (x, y, z) float32; see `fits`.

    walls: what lies beyond the volume counts as outside. Without, a mask that fills the volume is infinitely deep.
    """
    xp = namespace(mask)
    if not walls:
        if bool(mask.all()):
            return xp.full(mask.shape, np.float32(math.inf))
        return ndimage(mask).distance_transform_edt(mask, sampling=list(voxel_mm)).astype(np.float32)
    padded = xp.zeros(tuple(n + 2 for n in mask.shape), dtype=bool)
    padded[1:-1, 1:-1, 1:-1] = mask
    depth = ndimage(mask).distance_transform_edt(padded, sampling=list(voxel_mm))
    return depth[1:-1, 1:-1, 1:-1].astype(np.float32)


def fits(depth: Any, radius_mm: float) -> Any:
    """Where a ball of the radius, centred on a voxel, lies in the mask whose depth is given; bool."""
    return depth > np.float32(radius_mm * _ROUNDING)


def erode(mask: Any, radius_mm: float, voxel_mm: tuple[float, ...], *, walls: bool = True) -> Any:
    """The mask where a ball of the radius fits, bool; see `depth_mm` for the walls."""
    return fits(depth_mm(mask, voxel_mm, walls=walls), radius_mm)
