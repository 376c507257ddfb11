"""R2* by a nonlinear mono-exponential fit of the magnitude that knows its noise floor."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import ferritin_kernels
from ferritin.backend import namespace
from ferritin.registry import method
from ferritin.stages import Record, Relaxation


@method(
    "r2star",
    source="Levenberg-Marquardt; noise floor by the moments of the Rice and non-central χ distributions: "
    "Miller AJ, Joseph PM. Magn Reson Imaging 1993;11:1051; Constantinides CD, et al. MRM 1997;38:852",
)
def nonlinear(
    echoes: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    *,
    noise: Literal["auto", "plain", "second", "first", "floor"] = "auto",
    coils: Annotated[int, "1"] = 1,
    weights: tuple[float, ...] | None = None,
    max_rate: Annotated[float, "1/s"] = 1000.0,
    tolerance: Annotated[float, "1"] = 1e-4,
    max_iterations: int = 60,
) -> Relaxation:
    """Fit S0 exp(-R2* TE) to the magnitude in every voxel of the mask.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64, two echoes or more
    mask : (x, y, z) bool
    noise_sd : float, optional [as echoes]
        Noise sd of the real and of the imaginary part.
    noise : model of the magnitude's expectation for a noise-free signal m
        "second": E[M²] = m² + 2Nσ², weighted by the variance of M². "first": E[M] of the distribution.
        "plain": m. "floor": √(m² + C²) with C unknown (three echoes or more). "auto": "second" when the noise sd is
        known, else "plain".
    coils : number N of coils in a sum-of-squares combination; 1 for complex-combined echoes.
    weights : one number per echo, multiplies its squared error; 0 leaves the echo out.
    max_rate : R2* is kept between 0 and this.
    tolerance : a voxel stops when a step moves R2* times the span of the echo times by less than this, or R2* by less
        than ten times this share of its standard error.
    max_iterations : at most 127.

    Returns
    -------
    Relaxation
        r2star and its standard error r2star_se [1/s], s0 [as echoes]; 0 outside the mask and where there is no signal.
        Without noise_sd the standard error is scaled by the residual; with as many echoes as unknowns it is NaN.
    """
    model = ("second" if noise_sd else "plain") if noise == "auto" else noise
    fit = ferritin_kernels.monoexp(
        echoes,
        scan.te_s,
        mask,
        model=model,
        noise_sd=noise_sd,
        coils=coils,
        weights=weights,
        max_rate=max_rate,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    return Relaxation(fit.rate, fit.error, fit.s0, _record(fit, mask, model, noise_sd))


def _record(fit: Any, mask: Any, model: str, noise_sd: float | None) -> Record:
    xp = namespace(mask)
    voxels = int(xp.count_nonzero(mask))
    fitted = int(xp.count_nonzero(fit.iterations))
    converged = int(xp.count_nonzero(fit.converged))
    notes = []
    if not noise_sd:
        notes.append(
            "the noise level is not known: the standard error comes from the fit's residual"
            + (", and the noise floor is not corrected" if model == "plain" else "")
        )
    if fitted < voxels:
        notes.append(f"{voxels - fitted} of {voxels} voxels of the mask have no signal or NaN; R2* is 0 there")
    if converged < fitted:
        notes.append(f"{fitted - converged} of {fitted} voxels did not converge")
    return Record(
        iterations=int(fit.iterations.max()) if voxels else 0,
        residual=1 - converged / fitted if fitted else 0.0,
        stopped_by="tolerance" if converged == fitted else "iterations",
        notes=tuple(notes),
    )
