"""The split of a total variation, one step in one pass: the contract of variation.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin_kernels import api


def variation(
    x: Any,
    split: Any,
    keep: Any,
    pull: Any,
    radius: Any,
    step: tuple[float, float, float] = (1.0, 1.0, 1.0),
    *,
    limit: float = 1.0,
    relax: float = 1.0,
    threads: int | None = None,
) -> None:
    """q ← q + relax·(∇x − (q − u)), u ← projection of q onto |·| ≤ limit·radius, pull ← ∇ᵀ(q − 2u).

    u are the scaled multipliers of the split z = ∇x and z is q − u: two fields of vectors, of which q and the share of
    it that is u are kept. ∇ are forward differences over the step on a periodic box. All arrays are float32 and
    C-contiguous.

    Parameters
    ----------
    x : (x, y, z)
    split : (3, x, y, z), changed: q, 0 at the beginning.
    keep : (x, y, z), changed: u over q.
    pull : (x, y, z), written.
    radius : (x, y, z), or None for the limit alone.
    relax : 1, or up to 2 for fewer steps (over-relaxation: Eckstein J, Bertsekas DP. Math Program 1992;55:293, eq. 19).
    """
    shape = tuple(x.shape)
    arrays = {"x": x, "split": split, "radius": radius, "keep": keep, "pull": pull}
    for name, array in arrays.items():
        expected = (3, *shape) if name == "split" else shape
        if array is not None and (array.dtype != np.float32 or tuple(array.shape) != expected or len(shape) != 3):
            raise ValueError(f"{name} is {array.dtype} {tuple(array.shape)}, expected float32 {expected}")
        if array is not None:
            api.contiguous(name, array)
    numbers = dict(zip(("nx", "ny", "nz"), shape)) | {"n_voxel": x.size, "limit": limit, "relax": relax}
    numbers |= {f"per_{axis}": 1 / s for axis, s in zip("xyz", step)}
    for part in (0, 1):  # the GPU does one after the other, the CPU both in the first
        numbers["part"] = part
        api.launch("variation", x.size, arrays, numbers, defines={"FERRITIN_PART": part}, threads=threads)
