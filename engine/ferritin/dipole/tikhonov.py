"""Weighted Tikhonov: least squares by the field's noise with a quadratic penalty, by conjugate gradients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import Gradient, relative_step
from ferritin.ops.slabs import add_scaled, multiply
from ferritin.registry import method
from ferritin.solvers.cg import conjugate_gradients
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Susceptibility


@method("dipole", source="de Rochefort L, et al. MRM 2010;63:194, eq. 6; Karsa A, et al. MRM 2020;84:3206")
def tikhonov(
    local_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    *,
    lambda_: Annotated[float | Literal["auto"], "1"] = "auto",
    penalty: Annotated[Literal["gradient", "identity"], "gradient|identity"] = "gradient",
    iterations: int = 50,
    tolerance: Annotated[float, "relative residual"] = 1e-2,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """min over chi of ‖w(D*chi − f)‖² + λ‖Γchi‖².

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    field_noise : (x, y, z) float32 [Hz], optional; w is its reciprocal, of mean square 1.
    lambda_ : of the differences between neighbouring voxels ("gradient") or of chi itself ("identity").
        "auto" takes it from the field's noise.
    iterations : also a regularisation: the early ones hold what is well determined.
    """
    if not lambda_ >= 0:
        raise ParameterError(f"tikhonov lambda = {lambda_}, expected 0 or more, or auto")
    problem = Problem(local_field, mask, scan)
    xp, dipole, factor = problem.xp, problem.dipole, np.float32(lambda_)
    weight, _ = problem.weights(field_noise)
    multiply(weight, weight)
    gradient = Gradient(relative_step(scan.voxel_mm))
    stop = Stopping(iterations, tolerance, every=5, progress=progress)

    def weigh(g: Any, s: slice) -> None:
        g *= factor

    def normal(x: Any) -> Any:
        out = dipole(x)
        multiply(out, weight)
        out = dipole(out)
        if penalty == "gradient":
            gradient.add_normal(xp, x, weigh, out)
        else:
            add_scaled(out, factor, x)
        return out

    multiply(problem.field, weight)
    chi = conjugate_gradients(xp, normal, dipole(problem.field), stop)
    return problem.finish(chi, stop.record(), reference=reference)
