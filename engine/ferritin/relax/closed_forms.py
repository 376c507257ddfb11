"""R2* in closed form: quick looks, starts, and comparison with published work."""

from __future__ import annotations

from typing import Annotated, Any

import ferritin_kernels
from ferritin.errors import as_input_error
from ferritin.registry import method
from ferritin.relax.record import record_of
from ferritin.stages import Record, Relaxation


@method("r2star", source="Weighted least squares of ln M, weights M²: Bevington & Robinson, ch. 6")
def log_linear(
    echoes: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    *,
    coils: Annotated[int, "1"] = 1,
    max_rate: Annotated[float, "1/s"] = 1000.0,
) -> Relaxation:
    """R2* as the slope of ln M on TE, weighted by M².

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64, two echoes or more
    mask : (x, y, z) bool
    noise_sd : float, optional [as echoes]
        2Nσ² is taken off M² first, and echoes under 3σ are left out, but for a voxel's two strongest.
    coils : number N of coils in a sum-of-squares combination; 1 for complex-combined echoes.
    max_rate : R2* is kept between 0 and this.

    Returns
    -------
    Relaxation
        r2star, r2star_se [1/s], s0; 0 outside the mask.
    """
    return _closed("log_linear", echoes, mask, scan, noise_sd, coils, max_rate)


@method("r2star", source="Pei M, et al. MRM 2015;73:843, eq. 7 (auto-regression on linear operations, Simpson's rule)")
def arlo(
    echoes: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    *,
    coils: Annotated[int, "1"] = 1,
    max_rate: Annotated[float, "1/s"] = 1000.0,
) -> Relaxation:
    """R2* by ARLO; needs three or more equally spaced echoes. Parameters and result as of `log_linear`."""
    return _closed("arlo", echoes, mask, scan, noise_sd, coils, max_rate)


@method("r2star", source="Hagberg GE, et al. MRM 2002;48:877 (NumART2*, trapezium rule)")
def numart2star(
    echoes: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    *,
    coils: Annotated[int, "1"] = 1,
    max_rate: Annotated[float, "1/s"] = 1000.0,
) -> Relaxation:
    """R2* as the difference of the outer echoes over the integral between them; parameters as of `log_linear`.

    The trapezium rule reads R2* low by (R2* ΔTE)²/12, more than a tenth where an echo spacing halves the signal.
    """
    return _closed("numart", echoes, mask, scan, noise_sd, coils, max_rate)


def _closed(
    form: str, echoes: Any, mask: Any, scan: Any, noise_sd: float | None, coils: int, max_rate: float
) -> Relaxation:
    with as_input_error():
        fit = ferritin_kernels.closed_form(
            echoes, scan.te_s, mask, form=form, noise_sd=noise_sd, coils=coils, max_rate=max_rate
        )
    notes = () if noise_sd else ("the noise level is not known: the standard error comes from the decay's residual",)
    lost = record_of(fit._replace(iterations=fit.converged), mask, notes).notes
    return Relaxation(fit.rate, fit.error, fit.s0, Record(notes=lost))
