"""L1-QSM: the misfit of the complex signal counts by its size, not its square; outliers lose their pull."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.inversion.radians import radians_per_ppm
from ferritin.ops.gradient import relative_step
from ferritin.registry import method
from ferritin.solvers.fidelity import AbsolutePhase
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import TotalVariation
from ferritin.stages import Susceptibility

DATA_STEP = 0.05
"""How far [ppm] an iteration may move the modelled field of a voxel towards its datum: sets the split's penalty."""


@method("dipole", source="Milovic C, et al. MRM 2022;87:457 (L1-norm fidelity of the complex signal)")
def l1_qsm(
    local_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    *,
    lambda_: Annotated[float | Literal["auto"], "1"] = "auto",
    time_s: Annotated[float | None, "s"] = None,
    iterations: int = 100,
    tolerance: Annotated[float, "relative change of chi"] = 5e-3,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """min over chi of ‖w(exp(i s D*chi) − exp(i s f))‖₁/s + λ‖∇chi‖, s the phase of one ppm at `time_s`.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    field_noise : (x, y, z) float32 [Hz], optional; w is its reciprocal, of mean square 1.
    lambda_ : both terms are of first order in the field: the same at any scale of the field.
        "auto" takes it from the field's noise.
    time_s : in which the field makes the phase that is fitted; the shortest echo spacing when None.
    """
    if not lambda_ > 0:
        raise ParameterError(f"l1_qsm lambda = {lambda_}, expected above 0, or auto")
    problem = Problem(local_field, mask, scan)
    weight, _ = problem.weights(field_noise)
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    solver = TotalVariation(
        problem.dipole.kernel,
        problem.field,
        weight,
        problem.xp.full(problem.box.shape, np.float32(lambda_)),
        relative_step(scan.voxel_mm),
        lambda_ / problem.spread(),
        data_penalty=1 / DATA_STEP,
        fidelity=AbsolutePhase(radians_per_ppm(scan, time_s)),
    )
    chi, _ = solver.solve(problem.xp, stop)
    return problem.finish(chi, stop.record(), reference=reference)
