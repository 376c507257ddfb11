"""R2* by a fit of the complex decay: Gaussian noise, so no floor; needs phase that behaves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import ferritin_kernels
from ferritin.errors import as_input_error
from ferritin.registry import method
from ferritin.relax.gradient import corrected, gradient_of
from ferritin.stages import Relaxation


@method(
    "r2star",
    name="complex",
    source="Least squares of S0 exp(-R2* TE + i(φ0 + 2π f TE)); Gauss-Newton with damping",
    needs={"total_field": "gradient"},
)
def complex_fit(
    echoes: Any,
    unwrapped_phase: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    total_field: Any = None,
    *,
    bipolar: bool = False,
    gradient: Literal["none", "box", "pulse", "gaussian"] = "none",
    slice_axis: int | None = None,
    time_bandwidth: Annotated[float, "1"] = 4.0,
    max_rate: Annotated[float, "1/s"] = 1000.0,
    tolerance: Annotated[float, "1"] = 1e-4,
    max_iterations: int = 60,
) -> Relaxation:
    """R2* of the fit that the stage `field` knows as complexfit.

    Its mean has no noise floor to correct. Where the echoes' phases do not fit one frequency (flow, eddy currents), the
    misfit goes into R2*; `nonlinear` does not see the phase.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64, two echoes or more
    unwrapped_phase : (echo, x, y, z) float32 [rad]
    mask : (x, y, z) bool
    noise_sd : float, optional [as echoes]
    total_field : (x, y, z) float32 [Hz], optional
        For `gradient`.
    bipolar : fit also a phase of opposite sign in echoes of opposite readout polarity.
    gradient, slice_axis, time_bandwidth : see `relax.gradient.gradient_of`.
    max_rate, tolerance, max_iterations : as in `nonlinear`.

    Returns
    -------
    Relaxation
        r2star and its standard error r2star_se [1/s], s0 [as echoes]; 0 outside the mask.
    """
    with as_input_error():
        fit = ferritin_kernels.complexfit(
            echoes,
            scan.te_s,
            mask,
            unwrapped_phase,
            maps=("s0", "rate", "rate_error"),
            bipolar=bipolar,
            polarity=scan.polarity if len(set(scan.polarity)) == 2 else None,
            noise_sd=noise_sd,
            gradient=gradient_of(total_field, gradient, slice_axis, time_bandwidth),
            max_rate=max_rate,
            tolerance=tolerance,
            max_iterations=max_iterations,
        )
    notes = () if noise_sd else ("the noise level is not known: the standard error comes from the fit's residual",)
    return Relaxation(fit.rate, fit.rate_error, fit.s0, corrected(fit, echoes, mask, gradient, notes))
