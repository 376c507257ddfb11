"""χ-separation: sources that explain the local field and R2' at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.sources._joint import joint_sources
from ferritin.sources._relaxometry import R2PRIME_HZ_PER_PPM, relaxivities
from ferritin.stages import Sources


@method(
    "sources",
    source="Shin HG, et al. NeuroImage 2021;240:118371, with both data weighted by their noise and total "
    "variation in place of its gradient prior, by ADMM",
)
def joint(
    local_field: Any,
    r2prime: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    r2prime_se: Any = None,
    s0: Any = None,
    r2star: Any = None,
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
    """min over χ⁺ >= 0 >= χ⁻ of ½‖w(D*(χ⁺ + χ⁻) − f)‖² + ½‖v(χ⁺ − χ⁻ − R2'/D_r)‖² + Σ λ(r)(|∇χ⁺| + |∇χ⁻|).

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    r2prime : (x, y, z) float32 [1/s]; a voxel with NaN, or 0 together with its standard error, says nothing.
    mask : (x, y, z) bool
    field_noise : (x, y, z) float32 [Hz], optional; w is its reciprocal, of mean square 1.
    r2prime_se : (x, y, z) float32 [1/s], optional; v² is the variance of the field over that of R2', both in ppm, and
        the latter with a fifth of R2' as error of the relation itself. Where it is not finite or not above 0 beside an
        R2', the error is taken as 0.03 ppm times D_r, as without the map.
    s0, r2star : (x, y, z) float32, optional; λ is lowered where the magnitude has edges.
    relaxivity, relaxivity_negative : D_r of either sign. "auto" is 137 Hz/ppm at 3 T, in proportion to B0.
    lambda_ : weight of both priors; "auto" goes with the variance of the field's noise.
    rate_weight : v², the same in every voxel, in place of the noise's.
    outside, edges : as in `dipole.tv`.

    Returns
    -------
    Sources
        chi_positive >= 0 >= chi_negative [ppm], 0 outside the mask. Their sum has a zero of its own: where there is no
        R2' there is no source.
    """
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    return joint_sources(
        local_field,
        r2prime,
        mask,
        scan,
        relaxivities(scan, relaxivity, relaxivity_negative, R2PRIME_HZ_PER_PPM),
        stop,
        field_noise=field_noise,
        rate_error=r2prime_se,
        s0=s0,
        r2star=r2star,
        lambda_=lambda_,
        rate_weight=rate_weight,
        outside=outside,
        edges=edges,
    )
