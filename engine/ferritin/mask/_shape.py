"""Shapes of masks with balls in mm: dilation, opening, closing, pieces and holes; erosion is in ops.smv."""

from __future__ import annotations

from typing import Any

from ferritin.backend import namespace, ndimage
from ferritin.ops.smv import erode


def dilate(mask: Any, radius_mm: float, voxel_mm: tuple[float, ...]) -> Any:
    """Voxels not further than radius_mm from the mask."""
    return ~erode(~mask, radius_mm, voxel_mm, walls=False)


def close(mask: Any, radius_mm: float, voxel_mm: tuple[float, ...]) -> Any:
    """Fill gaps narrower than the ball; nothing of the mask is lost, at the array's border neither."""
    xp = namespace(mask)
    pad = [1 + int(radius_mm / v) for v in voxel_mm]
    wide = xp.pad(mask, [(p, p) for p in pad])
    wide = erode(dilate(wide, radius_mm, voxel_mm), radius_mm, voxel_mm)
    return wide[tuple(slice(p, p + n) for p, n in zip(pad, mask.shape))] | mask


def without_specks(mask: Any) -> Any:
    """Without what is one or two voxels wide, by 6-connected neighbours; an axis of fewer than three says nothing."""
    xp = namespace(mask)
    axes = [axis for axis, n in enumerate(mask.shape) if n >= 3]
    structure = xp.zeros((3, 3, 3), bool)
    for axis in axes:
        structure[tuple(slice(None) if a == axis else 1 for a in range(3))] = True
    structure[1, 1, 1] = True
    return ndimage(mask).binary_opening(mask, structure)


def largest_piece(mask: Any) -> Any:
    """The largest 6-connected piece; the mask itself when it is empty."""
    return large_pieces(mask, 1.0)


def large_pieces(mask: Any, share: float) -> Any:
    """The 6-connected pieces that have at least `share` of the largest one's voxels."""
    xp = namespace(mask)
    labels, n = ndimage(mask).label(mask)
    if int(n) < 2:
        return mask
    sizes = xp.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= max(share, 1e-9) * sizes.max())[labels]


def opened(mask: Any, radius_mm: float, voxel_mm: tuple[float, ...], share: float = 1.0) -> Any:
    """The pieces that survive erosion and have `share` of the largest one's size, grown back inside the mask.

    Where nothing survives, the radius is halved until something does: thin slabs and small crops.
    """
    while True:
        core = erode(mask, radius_mm, voxel_mm, walls=False)
        if bool(core.any()):
            break
        radius_mm /= 2
    core = large_pieces(core, share)
    return dilate(core, radius_mm + min(voxel_mm), voxel_mm) & mask


def fill_holes(mask: Any) -> Any:
    """Fill what the mask encloses; in a single slice, within the slice."""
    thin = tuple(axis for axis, n in enumerate(mask.shape) if n == 1)
    if thin:
        inner = ndimage(mask).binary_fill_holes(mask.squeeze(thin))
        return inner.reshape(mask.shape)
    return ndimage(mask).binary_fill_holes(mask)
