"""Sources of each voxel from its susceptibility and R2', in closed form: the baseline of every separation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ferritin.registry import method
from ferritin.sources._relaxometry import R2PRIME_HZ_PER_PPM, in_voxels
from ferritin.stages import Sources


@method("sources", source="Shin HG, et al. NeuroImage 2021;240:118371, its two equations solved in each voxel")
def closed_form(
    chi: Any,
    r2prime: Any,
    mask: Any,
    scan: Any,
    *,
    relaxivity: Annotated[float | Literal["auto"], "Hz/ppm"] = "auto",
    relaxivity_negative: Annotated[float | Literal["auto"], "Hz/ppm"] = "auto",
    zero: Annotated[float | Literal["auto"], "ppm"] = "auto",
) -> Sources:
    """χ⁺ = (R2'/D + chi)/2 and χ⁻ = (chi - R2'/D)/2 for equal relaxivities; the wrong sign becomes 0.

    Parameters
    ----------
    chi : (x, y, z) float32 [ppm]
    r2prime : (x, y, z) float32 [1/s]
    mask : (x, y, z) bool
    relaxivity, relaxivity_negative : D of either sign. "auto" is 137 Hz/ppm at 3 T, in proportion to B0.
    zero : added to chi before. "auto" takes the value for which |chi| exceeds R2'/D as much above as below.

    Returns
    -------
    Sources
        chi_positive >= 0 >= chi_negative [ppm], 0 outside the mask and where chi or the rate is not finite.
    """
    return in_voxels(chi, r2prime, mask, scan, relaxivity, relaxivity_negative, R2PRIME_HZ_PER_PPM, zero)
