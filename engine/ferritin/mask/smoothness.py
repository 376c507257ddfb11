"""Trim the rim of a mask where the field jumps: beside air, in signal voids, at bone."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.mask._rim import trimmed
from ferritin.registry import method
from ferritin.stages import Mask


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
    rough = lambda inside: _second_difference(xp, total_field, inside, limit)  # noqa: E731
    return trimmed(mask, rough, scan.voxel_mm, depth_mm, f"a smooth field (refine.limit_ppm = {limit_ppm:g})")


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
