"""Total variation: the map with the least gradient that explains the field, weighted by its noise. Solved by ADMM."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.dipole._problem import Problem
from ferritin.errors import ParameterError
from ferritin.ops.gradient import Gradient
from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Susceptibility


@method("dipole", source="Bilgic B, et al. MRM 2014;72:1444, eq. 3; weights: Milovic C, et al. MRM 2018;80:814")
def tv(
    local_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    *,
    lambda_: Annotated[float, "ppm mm"] = 5e-4,
    iterations: int = 100,
    tolerance: Annotated[float, "relative change of chi"] = 2e-3,
    rho: Annotated[float, "1"] = 0.1,
    mu: Annotated[float, "mm^2"] = 0.1,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """min over chi of ½‖w(D*chi − field)‖² + λ‖∇chi‖, isotropic total variation.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool; outside, the field is unknown and not taken for zero.
    field_noise : (x, y, z) float32 [Hz], optional
        The weights w are its reciprocal, scaled to a mean square of 1 over the mask.
    lambda_ : weight of the prior; it grows in proportion to the field's scale.
    rho, mu : penalties of the splits D*chi and ∇chi; they change the way to the solution, not the solution.

    Returns
    -------
    Susceptibility
        chi in ppm, 0 outside the mask.
    """
    if not lambda_ > 0 or not rho > 0 or not mu > 0:
        raise ParameterError(f"tv lambda = {lambda_}, rho = {rho}, mu = {mu}; expected all above 0")
    problem = Problem(local_field, mask, scan)
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    chi = solve(problem, problem.weights(field_noise), lambda_, rho, mu, stop)
    return problem.finish(chi, stop.record(), reference=reference)


def solve(problem: Problem, weight: Any, lambda_: float, rho: float, mu: float, stop: Stopping) -> Any:
    """ADMM with the splits y = D*chi (penalty rho) and z = ∇chi (penalty mu), duals scaled.

    The dual of z is the projection of q = ∇chi + dual onto the ball of radius λ/mu, and z − dual = q − 2·dual: only
    the dual is kept.
    """
    xp, shape, kernel = problem.xp, problem.box.shape, problem.dipole.kernel
    gradient, radius = Gradient(problem.scan.voxel_mm), np.float32(lambda_ / mu)
    rho, mu = np.float32(rho), np.float32(mu)
    inverse = gradient.normal_spectrum(xp, shape)
    inverse *= mu
    inverse += rho * kernel * kernel
    inverse[0, 0, 0] = 1
    inverse = 1 / inverse
    data_weight = weight * weight
    data = data_weight * problem.field
    data_weight = 1 / (data_weight + rho)
    chi = xp.zeros(shape, dtype=np.float32)
    dual = xp.zeros((3, *shape), dtype=np.float32)
    field_dual = xp.zeros(shape, dtype=np.float32)
    target = problem.field.copy()
    pull = xp.zeros(shape, dtype=np.float32)
    while True:
        spectrum = rfftn(target)
        spectrum *= rho * kernel
        spectrum += mu * rfftn(pull)
        spectrum *= inverse
        field = irfftn(spectrum * kernel, shape)
        new = irfftn(spectrum, shape)
        change = xp.sqrt(((new - chi) ** 2).sum() / (new * new).sum()) if stop.due else None
        chi = new
        if stop.step(change):
            return chi
        field += field_dual
        xp.multiply(field, rho, out=target)
        target += data
        target *= data_weight
        xp.subtract(field, target, out=field_dual)
        target -= field_dual
        _shrink(xp, gradient, chi, dual, radius, pull)


def _shrink(xp: Any, gradient: Gradient, chi: Any, dual: Any, radius: np.float32, pull: Any) -> None:
    """dual ← projection of q = ∇chi + dual onto |·| ≤ radius; pull ← ∇ᵀ(q − 2·dual)."""
    q = gradient(xp, chi)
    q += dual
    scale = q[0] * q[0]
    scale += q[1] * q[1]
    scale += q[2] * q[2]
    xp.sqrt(scale, out=scale)
    xp.maximum(scale, radius, out=scale)
    xp.divide(radius, scale, out=scale)
    xp.multiply(q, scale, out=dual)
    q -= 2 * dual
    gradient.adjoint(xp, q, out=pull)
