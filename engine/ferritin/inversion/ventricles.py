"""The ventricles, by their slow decay: a reference for the zero of chi."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import ndimage

CSF_R2STAR = 5.0
"""R2* [1/s] below which a voxel may be fluid at up to 3 T; grows in proportion to the field above."""
NEAR_MM = 30.0
"""How far from the mask's centre the ventricles lie."""


def ventricles(xp: Any, r2star: Any, inside: Any, scan: Any) -> tuple[Any, str]:
    """The three largest pieces of slow decay near the middle of the mask, or None; and what to say of it.

    r2star: (x, y, z) float32 [1/s] or None. Source: Liu Z, et al. MRM 2018;79:2795, figure 1.
    """
    if r2star is None:
        return None, "no ventricles: r2star was not given; zero is the mean of the mask"
    limit = CSF_R2STAR * max(1.0, (scan.b0_t or 3.0) / 3)
    images, distance2 = ndimage(inside), 0
    for axis, v in enumerate(scan.voxel_mm):
        line = xp.arange(inside.shape[axis], dtype=np.float32)
        along = inside.sum(axis=tuple(a for a in range(3) if a != axis))
        centre = (line * along).sum() / along.sum()
        distance2 = distance2 + ((line - centre) * v).reshape([-1 if a == axis else 1 for a in range(3)]) ** 2
    fluid = inside & (r2star < limit) & (r2star > 0) & (distance2 < NEAR_MM**2)
    pieces, count = images.label(fluid)
    count = int(count)
    if count == 0:
        return None, f"no ventricles: no R2* below {limit:.3g} /s near the middle; zero is the mean of the mask"
    sizes = xp.bincount(pieces.reshape(-1), minlength=count + 1)[1:]
    least = xp.sort(sizes)[-min(3, count)]
    keep = xp.concatenate([xp.zeros(1, dtype=bool), sizes >= least])
    found = keep[pieces]
    return found, f"ventricles: {int(found.sum())} voxels with R2* below {limit:.3g} /s"
