"""TGV in a single step: from the total field, with background and dipole handled by local stencils; no transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.laplacian import inner_voxels
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import Gradient, relative_step
from ferritin.ops.slabs import each, slabs
from ferritin.ops.symmetric import SymmetricGradient
from ferritin.ops.wave import Wave
from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import relative_change
from ferritin.stages import Susceptibility

BALANCE = 12.0
"""Size of chi over that of the multipliers: primal steps are longer by this, dual ones shorter."""


@method(
    "dipole", source="Langkammer C, et al. NeuroImage 2015;111:622, eq. 5; steps: Pock T, Chambolle A. ICCV 2011:1762"
)
def tgv(
    total_field: Any,
    field_mask: Any,
    scan: Any,
    field_noise: Any = None,
    *,
    lambda_: Annotated[float, "ppm"] = 2e-4,
    second: Annotated[float, "1"] = 3.0,
    iterations: int = 1000,
    tolerance: Annotated[float, "relative change of chi"] = 2e-4,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """min over chi, e, v of ½‖w e‖² + λ(‖∇chi − v‖ + second·‖Ev‖) with ∇²e = □chi − ∇²f inside the mask.

    A harmonic background has no Laplacian and drops out. e is the misfit of the field, up to a harmonic part that the
    mask leaves free.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    field_mask : (x, y, z) bool, where the total field can be trusted; its outermost voxels are lost.
    field_noise : (x, y, z) float32 [Hz], optional; w is its reciprocal, of mean square 1.
    lambda_ : of the first order, per difference between neighbouring voxels.
    second : weight of the second order over that of the first.
    """
    if not lambda_ > 0 or not second > 0:
        raise ParameterError(f"tgv lambda = {lambda_}, second = {second}; expected both above 0")
    problem = Problem(total_field, field_mask, scan, margin_mm=6 * max(scan.voxel_mm))
    weight, _ = problem.weights(field_noise)
    weight *= weight
    valid = inner_voxels(problem.xp, problem.inside)
    stop = Stopping(iterations, tolerance, every=10, progress=progress)
    chi = _PrimalDual(problem, weight, valid, lambda_, lambda_ * second).solve(stop)
    problem.inside = valid
    return problem.finish(chi, stop.record(), reference=reference)


@dataclass
class _PrimalDual:
    """Primal-dual iteration with a step for each block of unknowns: one over the sum of its stencil."""

    problem: Problem
    weight: Any
    valid: Any
    first: float
    second: float

    def solve(self, stop: Stopping) -> Any:
        """chi [ppm] on the box. Lengths are in voxels of mean edge 1."""
        xp, shape, scan = self.problem.xp, self.problem.box.shape, self.problem.scan
        step = relative_step(scan.voxel_mm)
        self.gradient, self.symmetric = Gradient(step), SymmetricGradient(step)
        self.wave, self.laplacian = Wave(step, scan.b0_dir), Wave(step, scan.b0_dir, laplacian=True)
        source = self.laplacian(xp, self.problem.field)
        source *= self.valid
        fields = [xp.zeros(n, dtype=np.float32) for n in (shape, (3, *shape), shape)]  # chi, v, misfit
        ahead = [f.copy() for f in fields]
        p, q, eta = (xp.zeros(n, dtype=np.float32) for n in ((3, *shape), (6, *shape), shape))
        parts = slabs(xp, shape)
        while True:
            each(lambda s, ahead=ahead: self._dual(xp, ahead, p, q, eta, source, s), parts)
            old, slopes = fields[0].copy() if stop.due else None, [xp.zeros_like(f) for f in fields[:2]]
            each(lambda s, slopes=slopes: self._adjoint(xp, slopes, p, q, s), parts, neighbours=True)
            slopes[1] -= p
            each(lambda s, slopes=slopes: self._primal(xp, fields, ahead, slopes, eta, s), parts)
            if stop.step(relative_change(xp, fields[0], old) if stop.due else None):
                return fields[0]

    def _dual(self, xp: Any, ahead: list[Any], p: Any, q: Any, eta: Any, source: Any, s: slice) -> None:
        """Ascent of the multipliers at the planes s, and projection onto the weights' balls."""
        chi, v, misfit = ahead
        g = self.gradient.on_slab(xp, chi, s)
        g -= v[:, s]
        _ascend(xp, p[:, s], g, 1 / 3 / BALANCE, self.first, (1, 1, 1))
        _ascend(xp, q[:, s], self.symmetric.on_slab(xp, v, s), 1 / 2 / BALANCE, self.second, (1, 1, 1, 2, 2, 2))
        gap = self.laplacian.on_slab(xp, misfit, s)
        gap -= self.wave.on_slab(xp, chi, s)
        gap += source[s]
        gap *= np.float32(1 / BALANCE / (self.laplacian.row_sum + self.wave.row_sum))
        gap *= self.valid[s]
        eta[s] += gap

    def _adjoint(self, xp: Any, slopes: list[Any], p: Any, q: Any, s: slice) -> None:
        self.gradient.add_adjoint_of_slab(xp, p[:, s].copy(), s, slopes[0])
        self.symmetric.add_adjoint_of_slab(xp, q[:, s], s, slopes[1])

    def _primal(self, xp: Any, fields: list[Any], ahead: list[Any], slopes: list[Any], eta: Any, s: slice) -> None:
        """Descent of the unknowns at the planes s; `ahead` is extrapolated by the step just made."""
        chi, v, misfit = fields
        gradient_sum = 2 * sum(1 / t for t in self.gradient.step)
        down = slopes[0][s] - self.wave.on_slab(xp, eta, s)
        _descend(xp, chi[s], ahead[0][s], down, BALANCE / (gradient_sum + self.wave.row_sum))
        _descend(xp, v[:, s], ahead[1][:, s], slopes[1][:, s], BALANCE / (1 + 2 * gradient_sum))
        tau = np.float32(BALANCE / self.laplacian.row_sum)
        down = self.laplacian.on_slab(xp, eta, s)
        new = (misfit[s] - tau * down) / (1 + tau * self.weight[s])
        ahead[2][s] = 2 * new - misfit[s]
        misfit[s] = new


def _ascend(xp: Any, dual: Any, slope: Any, sigma: float, limit: float, counts: tuple[int, ...]) -> None:
    slope *= np.float32(sigma)
    dual += slope
    size = sum(count * (part * part) for count, part in zip(counts, dual))
    dual *= np.float32(limit) / xp.maximum(xp.sqrt(size), np.float32(limit))


def _descend(xp: Any, x: Any, ahead: Any, slope: Any, tau: float) -> None:
    slope *= np.float32(-tau)
    xp.multiply(slope, 2, out=ahead)
    ahead += x
    x += slope
