"""Trim the rim of a mask where the signal decays too fast to tell its frequency."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.errors import InputError
from ferritin.mask._rim import trimmed
from ferritin.registry import method
from ferritin.stages import Mask


@method("refine", source="R2* of dephased voxels beside air; the limit in units of the field strength (own)")
def decay(
    r2star: Any,
    mask: Any,
    scan: Any,
    *,
    limit: Annotated[float, "1/s/T"] = 30.0,
    depth_mm: Annotated[float, "mm"] = 10.0,
) -> Mask:
    """Take voxels near the surface out of the mask whose R2* no tissue has.

    Tissue has 5 to 10 1/s per tesla, veins and iron-rich nuclei up to 20. More, near the surface, is dephasing beside
    air or bone. Veins and bleeding deep inside stay.

    Parameters
    ----------
    r2star : (x, y, z) float32 [1/s]
    mask : (x, y, z) bool
    limit : float [1/s per tesla]
    depth_mm : float [mm]
        How far from the surface voxels may be taken out.

    Returns
    -------
    Mask
        The largest piece of what is left.

    Raises
    ------
    InputError
        The field strength is not known, or nothing is left.
    """
    if scan.b0_t is None:
        raise InputError("the field strength is not known, so R2* has no limit; give it with --b0")
    bad = ~(r2star <= np.float32(limit * scan.b0_t))  # NaN is bad
    return trimmed(mask, lambda _: bad, scan.voxel_mm, depth_mm, f"R2* below {limit * scan.b0_t:g} 1/s")
