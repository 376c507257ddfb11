"""HD-QSM: a few iterations with absolute misfits find the outliers; squared misfits, less weighted there, finish."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import relative_step
from ferritin.registry import method
from ferritin.solvers.fidelity import Absolute
from ferritin.solvers.reduction import ratio
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import TotalVariation
from ferritin.stages import Susceptibility

DATA_STEP = 0.01
"""Field [ppm] of a misfit that is noise: where absolute and squared misfits are alike."""


@method("dipole", source="Lambert M, et al. MRM 2022;88:962 (hybrid data fidelity)")
def hd_qsm(
    local_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    *,
    lambda_: Annotated[float | Literal["auto"], "ppm"] = "auto",
    iterations: int = 80,
    first_iterations: int = 20,
    tolerance: Annotated[float, "relative change of chi"] = 5e-3,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """Total variation with |w(D*chi − f)| first, then ½w²(1 − e)²(D*chi − f)², e the first misfit over its maximum.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    field_noise : (x, y, z) float32 [Hz], optional; w is its reciprocal, of mean square 1.
    lambda_ : of the second stage, per difference between neighbouring voxels; the first stage's is matched to it at a
        misfit of 10 ppb, where both fidelities pull alike. (The paper takes the square root of the second's.)
        "auto" takes it from the field's noise.
    """
    if not lambda_ > 0:
        raise ParameterError(f"hd_qsm lambda = {lambda_}, expected above 0, or auto")
    problem = Problem(local_field, mask, scan)
    xp = problem.xp
    weight, _ = problem.weights(field_noise)
    prior = xp.full(problem.box.shape, np.float32(lambda_ / DATA_STEP))
    step, penalty = relative_step(scan.voxel_mm), lambda_ / problem.spread()
    first = Stopping(first_iterations, 0.0, every=first_iterations)
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    robust = TotalVariation(
        problem.dipole.kernel,
        problem.field,
        weight,
        prior,
        step,
        penalty / DATA_STEP,
        data_penalty=1 / DATA_STEP,
        fidelity=Absolute(),
    )
    start = list(robust.solve(xp, first))
    misfit = start.pop()
    misfit -= problem.field
    misfit *= problem.inside
    xp.abs(misfit, out=misfit)
    misfit *= ratio(np.float32(1), misfit.max())
    xp.subtract(1, misfit, out=misfit)
    weight *= misfit
    del misfit
    prior *= np.float32(DATA_STEP)
    squared = TotalVariation(problem.dipole.kernel, problem.field, weight, prior, step, penalty)
    chi, _ = squared.solve(xp, stop, start.pop())  # nobody else holds the first guess, a volume
    return problem.finish(
        chi, stop.record(f"{first.done} iterations with absolute misfits before"), reference=reference
    )
