"""Sources of each voxel from its susceptibility and R2*, in closed form: what gradient echoes alone allow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ferritin.registry import method
from ferritin.sources._relaxometry import R2STAR_HZ_PER_PPM, in_voxels
from ferritin.stages import Sources


@method("sources", source="Dimov AV, et al. Tomography 2022;8:1544, its two equations solved in each voxel")
def closed_form_r2star(
    chi: Any,
    r2star: Any,
    mask: Any,
    scan: Any,
    *,
    relaxivity: Annotated[float | Literal["auto"], "Hz/ppm"] = "auto",
    relaxivity_negative: Annotated[float | Literal["auto"], "Hz/ppm"] = "auto",
    zero: Annotated[float | Literal["auto"], "ppm"] = "auto",
) -> Sources:
    """The closed form with R2* in place of R2', for gradient echoes alone: a larger constant stands for R2 as well.

    Parameters
    ----------
    chi : (x, y, z) float32 [ppm]
    r2star : (x, y, z) float32 [1/s]
    mask : (x, y, z) bool
    relaxivity, relaxivity_negative : D of either sign. "auto" is 274 Hz/ppm at 3 T, in proportion to B0.
    zero : as in `closed_form`.

    Returns
    -------
    Sources
        chi_positive >= 0 >= chi_negative [ppm], 0 outside the mask and where chi or the rate is not finite.
    """
    return in_voxels(chi, r2star, mask, scan, relaxivity, relaxivity_negative, R2STAR_HZ_PER_PPM, zero)
