"""STAR-like: strong sources first, with a strong prior; the rest with a weak one. Keeps streaks off haemorrhage."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import relative_step
from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import TotalVariation
from ferritin.stages import Susceptibility


@method("dipole", source="Wei H, et al. NMR Biomed 2015;28:1294 (two levels of regularisation); thresholds own")
def star(
    local_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    *,
    lambda_: Annotated[float | Literal["auto"], "ppm"] = "auto",
    strong_factor: Annotated[float, "1"] = 20.0,
    strong_ppm: Annotated[float, "ppm"] = 0.3,
    iterations: int = 60,
    first_iterations: int = 40,
    tolerance: Annotated[float, "relative change of chi"] = 5e-3,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """Total variation twice: what exceeds `strong_ppm` under the strong prior is kept, its field is taken off.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    field_noise : (x, y, z) float32 [Hz], optional; the weights are its reciprocal, of mean square 1.
    lambda_ : of the second level, per difference between neighbouring voxels.
        "auto" takes it from the field's noise.
    strong_factor : λ of the first level over that of the second.
    """
    if not lambda_ > 0 or not strong_factor >= 1 or not strong_ppm > 0:
        raise ParameterError(
            f"star lambda = {lambda_}, strong_factor = {strong_factor}, strong_ppm = {strong_ppm}; expected lambda and "
            "strong_ppm > 0, strong_factor >= 1"
        )
    problem = Problem(local_field, mask, scan)
    xp = problem.xp
    weight, _ = problem.weights(field_noise)
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    prior = xp.full(problem.box.shape, np.float32(lambda_ * strong_factor))

    def level(size: float, rule: Stopping) -> Any:
        step, penalty = relative_step(scan.voxel_mm), size / problem.spread()
        return TotalVariation(problem.dipole.kernel, problem.field, weight, prior, step, penalty).solve(xp, rule)[0]

    strong = level(lambda_ * strong_factor, Stopping(first_iterations, tolerance, every=5))
    strong *= abs(strong) > np.float32(strong_ppm)
    problem.field -= problem.dipole(strong)
    problem.field *= problem.inside
    prior /= np.float32(strong_factor)
    chi = level(lambda_, stop)
    chi += strong
    note = f"{int((strong != 0).sum())} voxels beyond {strong_ppm:g} ppm taken first"
    return problem.finish(chi, stop.record(note), reference=reference)
