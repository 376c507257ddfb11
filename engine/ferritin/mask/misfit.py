"""Trim the rim of a mask where the echoes do not follow one frequency."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import InputError
from ferritin.mask._rim import trimmed
from ferritin.registry import method
from ferritin.stages import Mask


@method("refine", source="relative residual of the complex field fit: Liu et al., MRM 2013;69:467, eq. 4")
def misfit(
    echoes: Any,
    total_field: Any,
    mask: Any,
    scan: Any,
    *,
    limit: Annotated[float, "1"] = 0.3,
    depth_mm: Annotated[float, "mm"] = 10.0,
) -> Mask:
    """Take voxels near the surface out of the mask whose phase is not linear in time: flow, fat, dephasing, wraps.

    The residual is that of |S| exp(i(φ0 + 2π f TE)) with the best φ0, over the norm of S: 0 is a perfect fit, noise
    gives 1 over the signal-to-noise ratio, and a random phase nearly 1.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
        Three or more: two always fit.
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    limit : float [1]
        Largest residual.
    depth_mm : float [mm]
        How far from the surface voxels may be taken out.

    Returns
    -------
    Mask
        The largest piece of what is left.

    Raises
    ------
    InputError
        Fewer than three echoes, or nothing is left.
    """
    if len(echoes) < 3:
        raise InputError(f"the misfit of a frequency needs three echoes, got {len(echoes)}; choose refine.method")
    bad = ~(_residual(echoes, total_field, scan.te_s) <= np.float32(limit))  # NaN is bad
    return trimmed(mask, lambda _: bad, scan.voxel_mm, depth_mm, f"a misfit below {limit:g}")


def _residual(echoes: Any, field: Any, te_s: tuple[float, ...]) -> Any:
    """sqrt(Σ ||S| exp(i(φ0 + 2π f TE)) - S|²/ Σ |S|²) with φ0 = arg Σ |S| S exp(-2πi f TE)."""
    xp = namespace(echoes)
    together = xp.zeros(field.shape, np.complex64)
    power = xp.zeros(field.shape, np.float32)
    for echo, te in zip(echoes, te_s):
        magnitude = xp.abs(echo)
        power += magnitude**2
        together += magnitude * echo * xp.exp(np.complex64(-2j * math.pi * te) * field)
    left = 2 - 2 * xp.abs(together) / xp.maximum(power, np.float32(1e-30))
    return xp.sqrt(xp.maximum(left, np.float32(0)))
