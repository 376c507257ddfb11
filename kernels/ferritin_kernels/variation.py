"""The split of a total variation, one step in one pass: the contract of variation.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin_kernels import api


def variation(
    x: Any,
    dual: Any,
    turn: Any,
    pull: Any,
    radius: Any,
    step: tuple[float, float, float] = (1.0, 1.0, 1.0),
    *,
    limit: float = 1.0,
    threads: int | None = None,
) -> None:
    """dual ← projection of q = ∇x + dual onto |·| ≤ limit·radius; pull ← ∇ᵀ(q − 2·dual); turn ← ∇ᵀdual.

    ∇ are forward differences over the step on a periodic box. All arrays are float32 and C-contiguous.

    Parameters
    ----------
    x : (x, y, z)
    dual : (3, x, y, z), changed.
    turn : (x, y, z), changed: ∇ᵀdual as the step before has left it, 0 for a dual of 0.
    pull : (x, y, z), written.
    radius : (x, y, z), or None for the limit alone.
    """
    shape = tuple(x.shape)
    arrays = {"x": x, "dual": dual, "radius": radius, "turn": turn, "pull": pull}
    for name, array in arrays.items():
        expected = (3, *shape) if name == "dual" else shape
        if array is not None and (array.dtype != np.float32 or tuple(array.shape) != expected or len(shape) != 3):
            raise ValueError(f"{name} is {array.dtype} {tuple(array.shape)}, expected float32 {expected}")
        if array is not None:
            api.contiguous(name, array)
    numbers = dict(zip(("nx", "ny", "nz"), shape)) | {"n_voxel": x.size, "limit": limit}
    numbers |= {f"per_{axis}": 1 / s for axis, s in zip("xyz", step)}
    for part in (0, 1):  # the GPU does one after the other, the CPU both in the first
        numbers["part"] = part
        api.launch("variation", x.size, arrays, numbers, defines={"FERRITIN_PART": part}, threads=threads)
