"""NDI: gradient descent on the misfit of the complex signal; stopping early is the regularisation."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.inversion.radians import radians_per_ppm
from ferritin.registry import method
from ferritin.solvers.reduction import dot, ratio
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Susceptibility


@method("dipole", source="Polak D, et al. NMR Biomed 2020;33:e4271, eq. 4-5")
def ndi(
    local_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    *,
    step: Annotated[float, "1"] = 2.0,
    alpha: Annotated[float, "1"] = 1e-5,
    time_s: Annotated[float | None, "s"] = None,
    iterations: int = 100,
    tolerance: Annotated[float, "relative change of chi"] = 2e-3,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """chi ← chi − step·(D*(w² sin(D*chi − φ)) + α·chi), φ the field in rad at `time_s`.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    field_noise : (x, y, z) float32 [Hz], optional; w is its reciprocal, at most 1.
    step : stable below 2/max D² = 4.5.
    time_s : in which the field makes the phase that is fitted; the shortest echo spacing when None.
    """
    if not 0 < step < 4.5 or not alpha >= 0:
        raise ParameterError(
            f"ndi step = {step}, alpha = {alpha}; expected a step between 0 and 4.5 (default 2) and alpha 0 or more"
        )
    problem = Problem(local_field, mask, scan)
    xp, scale = problem.xp, np.float32(radians_per_ppm(scan, time_s))
    weight, _ = problem.weights(field_noise)
    weight *= 1 / weight.max()
    weight *= weight
    phase = problem.field
    phase *= scale
    chi = problem.dipole(weight * xp.sin(phase))
    chi *= np.float32(step)
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    while True:
        misfit = problem.dipole(chi)
        misfit -= phase
        xp.sin(misfit, out=misfit)
        misfit *= weight
        change = problem.dipole(misfit)
        change += np.float32(alpha) * chi
        change *= np.float32(step)
        chi -= change
        if stop.step(ratio(dot(xp, change, change), dot(xp, chi, chi)) ** 0.5 if stop.due else None):
            break
    chi /= scale
    return problem.finish(chi, stop.record(), reference=reference)
