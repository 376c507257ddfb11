"""WH-QSM: a weak harmonic field is fitted beside the map and takes what the background removal has left."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.inversion.radians import radians_per_ppm
from ferritin.ops.gradient import Gradient, relative_step
from ferritin.registry import method
from ferritin.solvers.fidelity import Phase
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.weak_harmonic import WeakHarmonic
from ferritin.stages import Susceptibility


@method("dipole", source="Milovic C, et al. MRM 2019;81:1399, eq. 4")
def wh_qsm(
    local_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    *,
    lambda_: Annotated[float | Literal["auto"], "ppm"] = "auto",
    beta: Annotated[float, "1"] = 150.0,
    time_s: Annotated[float | None, "s"] = None,
    iterations: int = 100,
    tolerance: Annotated[float, "relative change of chi"] = 5e-3,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """min over chi, h of ‖w(exp(i s (D*chi + h)) − exp(i s f))‖²/(2s²) + λ‖∇chi‖ + β/2‖M∇²h‖².

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool, M
    field_noise : (x, y, z) float32 [Hz], optional; w is its reciprocal, of mean square 1.
    lambda_ : per difference between neighbouring voxels.
        "auto" takes it from the field's noise.
    beta : the larger, the more strictly h is harmonic inside the mask; ∇² in differences between voxels.
    time_s : in which the field makes the phase that is fitted; the shortest echo spacing when None.
    """
    if not lambda_ > 0 or not beta > 0:
        raise ParameterError(f"wh_qsm lambda = {lambda_}, beta = {beta}; expected both above 0")
    problem = Problem(local_field, mask, scan)
    weight, _ = problem.weights(field_noise)
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    step = relative_step(scan.voxel_mm)
    solver = WeakHarmonic(
        problem.dipole.kernel,
        problem.field,
        weight,
        beta,
        problem.inside,
        lambda_,
        step,
        Phase(radians_per_ppm(scan, time_s)),
        lambda_ / problem.spread(),
    )
    chi = solver.solve(problem.xp, Gradient(step), stop)
    return problem.finish(chi, stop.record(), reference=reference)
