"""R2': what the inhomogeneity of the field inside a voxel adds to R2."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.registry import method
from ferritin.stages import Record, ReversibleRelaxation

MANY = 0.2
"""Share of negative differences beyond which R2 or R2* must be biased (a fifth of grey matter)."""


@method("r2prime", source="R2' = R2* - R2: Yablonskiy DA, Haacke EM. MRM 1994;32:749")
def difference(
    r2star: Any, r2: Any, mask: Any, scan: Any, r2star_se: Any = None, r2_se: Any = None
) -> ReversibleRelaxation:
    """R2* - R2, 0 where the difference is negative.

    Parameters
    ----------
    r2star, r2 : (x, y, z) float32 [1/s]
        On one grid. A voxel where either is 0 or not finite was not fitted, and is 0 here; but R2* that is 0 beside a
        standard error was fitted as 0.
    mask : (x, y, z) bool
    r2star_se, r2_se : (x, y, z) float32 [1/s], optional
        Standard errors.

    Returns
    -------
    ReversibleRelaxation
        r2prime [1/s], 0 outside the mask; r2prime_se: the root of the sum of both variances, of those that are given
        (NaN where one of them is NaN, 0 where none is known). A note says how many differences were negative.
    """
    xp = namespace(r2star)
    fitted = mask & (r2 > 0) & xp.isfinite(r2star) & xp.isfinite(r2)
    # The fit's lower bound is a value like others; where nothing was fitted the error is 0 as well (NaN: not known).
    fitted &= r2star > 0 if r2star_se is None else (r2star > 0) | ((r2star == 0) & (r2star_se != 0))
    rate = xp.where(fitted, r2star - r2, np.float32(0))
    negative, voxels = int((rate < 0).sum()), max(int(fitted.sum()), 1)
    variance = xp.zeros_like(rate)
    for error in (r2star_se, r2_se):
        if error is not None:
            variance += error * error
    notes = [f"{negative} of {voxels} differences ({100 * negative / voxels:.1f} %) were negative and became 0"]
    if negative > MANY * voxels:
        notes.append("so many negative differences mean a bias of R2 (stimulated echoes) or of R2*")
    if r2star_se is None or r2_se is None:
        notes.append("the standard error is that of R2* or R2 alone: the other was not given")
    return ReversibleRelaxation(
        xp.maximum(rate, np.float32(0)),
        xp.where(fitted, xp.sqrt(variance), np.float32(0)),
        Record(notes=tuple(notes)),
    )
