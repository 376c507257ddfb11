"""Shapes of masks with balls in mm: erosion, dilation, opening, closing, pieces and holes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ferritin.backend import namespace, ndimage


def distance_inside(mask: Any, voxel_mm: tuple[float, ...]) -> Any:
    """Distance [mm] of each voxel of the mask to the nearest voxel outside; the array's border is not outside."""
    xp = namespace(mask)
    if bool(mask.all()):
        return xp.full(mask.shape, np.float32(math.inf))
    return ndimage(mask).distance_transform_edt(mask, sampling=list(voxel_mm))


def erode(mask: Any, voxel_mm: tuple[float, ...], radius_mm: float) -> Any:
    """Voxels of the mask that lie further than radius_mm from every voxel outside it."""
    return distance_inside(mask, voxel_mm) > radius_mm


def dilate(mask: Any, voxel_mm: tuple[float, ...], radius_mm: float) -> Any:
    """Voxels not further than radius_mm from the mask."""
    return distance_inside(~mask, voxel_mm) <= radius_mm


def close(mask: Any, voxel_mm: tuple[float, ...], radius_mm: float) -> Any:
    """Fill gaps narrower than the ball; nothing of the mask is lost, at the array's border neither."""
    xp = namespace(mask)
    pad = [1 + int(radius_mm / v) for v in voxel_mm]
    wide = xp.pad(mask, [(p, p) for p in pad])
    wide = erode(dilate(wide, voxel_mm, radius_mm), voxel_mm, radius_mm)
    return wide[tuple(slice(p, p + n) for p, n in zip(pad, mask.shape))] | mask


def largest_piece(mask: Any) -> Any:
    """The largest 6-connected piece; the mask itself when it is empty."""
    xp = namespace(mask)
    labels, n = ndimage(mask).label(mask)
    if int(n) < 2:
        return mask
    sizes = xp.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def opened(mask: Any, voxel_mm: tuple[float, ...], radius_mm: float) -> Any:
    """The largest piece that survives erosion, grown back inside the mask.

    Where nothing survives, the radius is halved until something does: thin slabs and small crops.
    """
    while True:
        core = erode(mask, voxel_mm, radius_mm)
        if bool(core.any()):
            break
        radius_mm /= 2
    core = largest_piece(core)
    return dilate(core, voxel_mm, radius_mm + min(voxel_mm)) & mask


def fill_holes(mask: Any) -> Any:
    """Fill what the mask encloses; in a single slice, within the slice."""
    thin = tuple(axis for axis, n in enumerate(mask.shape) if n == 1)
    if thin:
        inner = ndimage(mask).binary_fill_holes(mask.squeeze(thin))
        return inner.reshape(mask.shape)
    return ndimage(mask).binary_fill_holes(mask)
