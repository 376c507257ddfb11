"""Take bad voxels off a mask from its surface inward, pass by pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferritin.errors import InputError
from ferritin.mask._shape import largest_piece, without_specks
from ferritin.ops.smv import depth_mm as depth_of
from ferritin.stages import Mask, Record

_PASSES = 8


def trimmed(mask: Any, find: Callable[[Any], Any], voxel_mm: tuple[float, ...], depth_mm: float, wanted: str) -> Mask:
    """The largest piece of a mask without the bad voxels that lie near its surface.

    Each pass starts from the surface that the last one left, and takes off what then sticks out.

    Parameters
    ----------
    mask : (x, y, z) bool
    find : mask to bad voxels, (x, y, z) bool
    depth_mm : how far from the surface voxels may be taken out [mm]
    wanted : what good voxels have, for the error

    Raises
    ------
    InputError
        Nothing is left.
    """
    for passes in range(1, _PASSES + 1):  # noqa: B007
        bad = find(mask) & (depth_of(mask, voxel_mm, walls=False) < depth_mm)
        count = int((bad & mask).sum())
        mask = largest_piece(without_specks(mask & ~bad))
        if count == 0:
            break
    if not bool(mask.any()):
        raise InputError(f"no voxel of the mask has {wanted}; raise refine's limit")
    return Mask(mask, Record(passes, float(count), "tolerance" if count == 0 else "iterations"))
