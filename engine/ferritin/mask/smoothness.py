"""Trim the rim of a mask where the field jumps: beside air, in signal voids, at bone."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace, ndimage
from ferritin.errors import InputError
from ferritin.mask._shape import largest_piece
from ferritin.ops.smv import depth_mm as depth_of
from ferritin.registry import method
from ferritin.stages import Mask, Record

_PASSES = 8


@method("refine", source="second differences of the field; the rim's errors dominate background removal (own)")
def smoothness(
    total_field: Any,
    mask: Any,
    scan: Any,
    *,
    limit_ppm: Annotated[float, "ppm"] = 0.067,
    depth_mm: Annotated[float, "mm"] = 10.0,
) -> Mask:
    """Take voxels near the surface out of the mask where the field is not smooth.

    The fields of outside sources are smooth inside, and those of tissue are small. Where the second difference along an
    axis exceeds the limit, the voxel mixes tissue with air or bone, or its echoes dephase before they can tell the
    frequency, and a background filter would spread the error over centimetres. Veins and haemorrhage do not lie at the
    surface and stay. Each pass starts from the surface that the last one left.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    limit_ppm : float [ppm]
        Largest deviation of a voxel from the mean of its two neighbours along any axis.
    depth_mm : float [mm]
        How far from the surface voxels may be taken out.

    Returns
    -------
    Mask
        The largest piece of what is left.

    Raises
    ------
    InputError
        Nothing is left.
    """
    xp = namespace(total_field)
    limit = np.float32(limit_ppm * scan.hz_per_ppm)
    rough = _second_difference(xp, total_field, mask, limit)
    for passes in range(_PASSES):  # noqa: B007
        bad = rough & (depth_of(mask, scan.voxel_mm, walls=False) < depth_mm)
        count = int(bad.sum())
        mask = largest_piece(ndimage(mask).binary_opening(mask & ~bad))
        rough = _second_difference(xp, total_field, mask, limit)
        if count == 0:
            break
    if not bool(mask.any()):
        raise InputError(f"no voxel of the mask has a smooth field (limit {limit_ppm:g} ppm); raise refine.limit_ppm")
    return Mask(mask, Record(passes + 1, float(count), "tolerance" if count == 0 else "iterations"))


def _second_difference(xp: Any, field: Any, mask: Any, limit: np.float32) -> Any:
    """Voxels further than limit from the mean of their two neighbours along some axis, both in the mask."""
    rough = xp.zeros(mask.shape, bool)
    for axis in range(3):
        inner = [slice(None)] * 3
        inner[axis] = slice(1, -1)
        before, after = list(inner), list(inner)
        before[axis], after[axis] = slice(None, -2), slice(2, None)
        inner, before, after = tuple(inner), tuple(before), tuple(after)
        deviation = xp.abs(field[inner] - np.float32(0.5) * (field[before] + field[after]))
        rough[inner] |= mask[inner] & mask[before] & mask[after] & (deviation > limit)
    return rough
