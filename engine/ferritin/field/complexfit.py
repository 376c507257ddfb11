"""Field by a fit of the complex decay: amplitude, R2*, frequency and phase offset together, and the field's noise."""

from __future__ import annotations

from typing import Annotated, Any

import ferritin_kernels
from ferritin.backend import namespace
from ferritin.errors import as_input_error
from ferritin.registry import method
from ferritin.stages import Record, TotalField


@method("field", source="Liu T, et al. MRM 2013;69:467, eq. 4, with the decay fitted too; Gauss-Newton with damping")
def complexfit(
    echoes: Any,
    unwrapped_phase: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    *,
    bipolar: bool = False,
    max_rate: Annotated[float, "1/s"] = 1000.0,
    tolerance: Annotated[float, "1"] = 1e-4,
    max_iterations: int = 60,
) -> TotalField:
    """Fit S0 exp(-R2* TE) exp(i(φ0 + 2π f TE)) to the echoes, from a weighted line through the unwrapped phase.

    The least squares of complex data are the maximum likelihood: late, weak echoes count as little as they should,
    and there is no noise floor.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64, two echoes or more
    unwrapped_phase : (echo, x, y, z) float32 [rad]
    mask : (x, y, z) bool
    noise_sd : float, optional [as echoes]
        Noise sd of the real and of the imaginary part. Without it the field's noise is scaled by the fit's residual.
    bipolar : fit also a phase of opposite sign in echoes of opposite readout polarity (scan.polarity, alternating when
        it does not say); three echoes or more.
    max_rate : R2* is kept between 0 and this.
    tolerance : a voxel stops when a step moves frequency and R2* times the span of the echo times by less than this, or
        by less than ten times this share of their standard errors.
    max_iterations : at most 127.

    Returns
    -------
    TotalField
        total_field and its standard deviation field_noise [Hz]; 0 outside the mask and where there is no signal.
    """
    with as_input_error():
        fit = ferritin_kernels.complexfit(
            echoes,
            scan.te_s,
            mask,
            unwrapped_phase,
            maps=("field", "field_error"),
            bipolar=bipolar,
            polarity=scan.polarity if len(set(scan.polarity)) == 2 else None,
            noise_sd=noise_sd,
            max_rate=max_rate,
            tolerance=tolerance,
            max_iterations=max_iterations,
        )
    return TotalField(fit.field, fit.field_error, _record(fit, mask, noise_sd))


def _record(fit: Any, mask: Any, noise_sd: float | None) -> Record:
    xp = namespace(mask)
    voxels, fitted, converged = (int(xp.count_nonzero(a)) for a in (mask, fit.iterations, fit.converged))
    notes = []
    if not noise_sd:
        notes.append("the noise level is not known: the field's noise comes from the fit's residual")
    if fitted < voxels:
        notes.append(f"{voxels - fitted} of {voxels} voxels of the mask have no signal or NaN; the field is 0 there")
    if converged < fitted:
        notes.append(f"{fitted - converged} of {fitted} voxels did not converge")
    return Record(
        iterations=int(fit.iterations.max()) if voxels else 0,
        residual=1 - converged / fitted if fitted else 0.0,
        stopped_by="tolerance" if converged == fitted else "iterations",
        notes=tuple(notes),
    )
