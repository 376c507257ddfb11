"""χ-separation without R2: sources that explain the local field and R2* at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.sources._joint import joint_sources
from ferritin.sources._relaxometry import R2STAR_HZ_PER_PPM, relaxivities
from ferritin.stages import Sources


@method(
    "sources",
    source="Dimov AV, et al. Tomography 2022;8:1544, with both data weighted by their noise and total variation in "
    "place of its gradient prior, by ADMM",
)
def joint_r2star(
    local_field: Any,
    r2star: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    r2star_se: Any = None,
    s0: Any = None,
    *,
    relaxivity: Annotated[float | Literal["auto"], "Hz/ppm"] = "auto",
    relaxivity_negative: Annotated[float | Literal["auto"], "Hz/ppm"] = "auto",
    lambda_: Annotated[float | Literal["auto"], "ppm"] = "auto",
    rate_weight: Annotated[float | Literal["auto"], "1"] = "auto",
    outside: Annotated[float, "1"] = 0.003,
    edges: Annotated[float | None, "median gradients"] = 1.4,
    iterations: int = 100,
    tolerance: Annotated[float, "relative change of the maps"] = 2e-3,
    progress: Any = None,
) -> Sources:
    """`joint` with R2* in place of R2', for gradient echoes alone: a larger constant stands for R2 as well.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    r2star, r2star_se : (x, y, z) float32 [1/s]; the standard error may be left out, and is completed as in
        `joint`.
    mask : (x, y, z) bool
    field_noise : (x, y, z) float32 [Hz], optional
    s0 : (x, y, z) float32, optional; with R2* it gives the magnitude whose edges lower λ.
    relaxivity, relaxivity_negative : D_r of either sign. "auto" is 274 Hz/ppm at 3 T, in proportion to B0.
    lambda_, rate_weight, outside, edges : as in `joint`.

    Returns
    -------
    Sources
        chi_positive >= 0 >= chi_negative [ppm], 0 outside the mask.
    """
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    return joint_sources(
        local_field,
        r2star,
        mask,
        scan,
        relaxivities(scan, relaxivity, relaxivity_negative, R2STAR_HZ_PER_PPM),
        stop,
        field_noise=field_noise,
        rate_error=r2star_se,
        s0=s0,
        r2star=r2star,
        lambda_=lambda_,
        rate_weight=rate_weight,
        outside=outside,
        edges=edges,
    )
