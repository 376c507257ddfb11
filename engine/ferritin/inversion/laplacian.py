"""The harmonic part of a field, by its Laplacian: what is left vanishes on the boundary of the mask."""

from __future__ import annotations

from typing import Any

from ferritin.backend import namespace
from ferritin.errors import InputError
from ferritin.ops.box import Box
from ferritin.solvers.multigrid import Poisson
from ferritin.solvers.stopping import Stopping


def without_harmonic(field: Any, mask: Any, scan: Any, stop: Stopping) -> tuple[Any, Any]:
    """The field minus the grid-harmonic function that equals it on the outermost voxels of the mask.

    Parameters
    ----------
    field : (x, y, z) float32, any unit.
    mask : (x, y, z) bool

    Returns
    -------
    (x, y, z) float32, in the field's unit, and the mask without its outermost voxels (six neighbours), bool.

    Raises
    ------
    InputError
        The mask has no inner voxel.
    """
    xp = namespace(field)
    box = Box.around(mask, (4, 4, 4))
    inside = box.crop(mask)
    inner = inner_voxels(xp, inside)
    poisson = Poisson(xp, inner, scan.voxel_mm)
    local = poisson.solve(poisson(box.crop(field) * inside), stop)
    return box.place(local), box.place(inner)


def inner_voxels(xp: Any, inside: Any) -> Any:
    """Voxels of a mask, on a periodic box, whose six neighbours lie in it. Raises InputError when there is none."""
    inner = inside.copy()
    for axis in range(3):
        for step in (-1, 1):
            inner &= xp.roll(inside, step, axis=axis)
    if not inner.any():
        raise InputError("the mask has no voxel with six neighbours in the mask; give a larger mask")
    return inner
