"""R2* by a nonlinear mono-exponential fit of the magnitude that knows its noise floor."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import ferritin_kernels
from ferritin.errors import as_input_error
from ferritin.registry import method
from ferritin.relax.gradient import corrected, gradient_of
from ferritin.stages import Relaxation


@method(
    "r2star",
    source="Levenberg-Marquardt; noise floor by the moments of the Rice and non-central χ distributions: "
    "Miller AJ, Joseph PM. Magn Reson Imaging 1993;11:1051; Constantinides CD, et al. MRM 1997;38:852",
    needs={"total_field": "gradient"},
)
def nonlinear(
    echoes: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    total_field: Any = None,
    *,
    noise: Literal["auto", "plain", "second", "first", "floor"] = "auto",
    coils: Annotated[int, "1"] = 1,
    weights: tuple[float, ...] | None = None,
    gradient: Literal["none", "box", "pulse", "gaussian"] = "none",
    slice_axis: int | None = None,
    time_bandwidth: Annotated[float, "1"] = 4.0,
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
    total_field : (x, y, z) float32 [Hz], optional
        For `gradient`.
    noise : model of the magnitude's expectation for a noise-free signal m
        "second": E[M²] = m² + 2Nσ², weighted by the variance of M². "first": E[M] of the distribution.
        "plain": m. "floor": √(m² + C²) with C unknown (three echoes or more). "auto": "second" when the noise sd is
        known, else "plain".
    coils : number N of coils in a sum-of-squares combination; 1 for complex-combined echoes.
    weights : one number per echo, multiplies its squared error; 0 leaves the echo out.
    gradient, slice_axis, time_bandwidth : correct for the gradient of total_field across the voxel, see
        `relax.gradient.gradient_of`.
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
    with as_input_error():
        fit = ferritin_kernels.monoexp(
            echoes, scan.te_s, mask, model=model, noise_sd=noise_sd, coils=coils, weights=weights,
            gradient=gradient_of(total_field, gradient, slice_axis, time_bandwidth),
            max_rate=max_rate, tolerance=tolerance, max_iterations=max_iterations,
        )  # fmt: skip
    return Relaxation(fit.rate, fit.error, fit.s0, corrected(fit, echoes, mask, gradient, _notes(model, noise_sd)))


def _notes(model: str, noise_sd: float | None) -> tuple[str, ...]:
    if noise_sd:
        return ()
    floor = ", and the noise floor is not corrected" if model == "plain" else ""
    return (f"the noise level is not known: the standard error comes from the fit's residual{floor}",)
