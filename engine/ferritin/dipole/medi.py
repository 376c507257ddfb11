"""MEDI: the map whose edges are those of the magnitude, fitted to the complex signal by Gauss-Newton steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.edges import edge_mask, mean_magnitude
from ferritin.inversion.problem import Problem
from ferritin.inversion.radians import radians_per_ppm
from ferritin.inversion.ventricles import ventricles
from ferritin.ops.gradient import Gradient
from ferritin.ops.slabs import each, slabs
from ferritin.ops.smv import ball_spectrum, erode
from ferritin.registry import method
from ferritin.solvers.cg import conjugate_gradients
from ferritin.solvers.reduction import dot
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Susceptibility


@method(
    "dipole",
    source="Liu T, et al. MRM 2013;69:467, eq. 4-6; Liu J, et al. NeuroImage 2012;59:2560; MEDI+0: Liu Z, et al. MRM "
    "2018;79:2795, eq. 3",
)
def medi(
    local_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    s0: Any = None,
    r2star: Any = None,
    *,
    lambda_: Annotated[float | Literal["auto"], "1/rad"] = "auto",
    edge_share: Annotated[float, "1"] = 0.3,
    smv_mm: Annotated[float | None, "mm"] = None,
    merit: bool = True,
    lambda_csf: Annotated[float, "1"] = 0.0,
    time_s: Annotated[float | None, "s"] = None,
    iterations: int = 10,
    tolerance: Annotated[float, "relative change of chi"] = 0.1,
    cg_iterations: int = 30,
    cg_tolerance: Annotated[float, "relative residual"] = 0.05,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """min over chi of ‖M∇chi‖₁ + λ‖w(exp(i D*chi) − exp(i φ))‖² [+ λ_csf‖M_csf(chi − its mean)‖²], chi and φ in rad.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    field_noise : (x, y, z) float32 [Hz], optional; w is its reciprocal, of mean 1.
    s0, r2star : (x, y, z) float32, optional; the magnitude's edges are left out of M, the ventricles found by R2*.
    lambda_ : on the data: larger means less smoothing.
        "auto" takes it from the field's noise.
    edge_share : share of the gradient components inside the mask that count as edges.
    smv_mm : radius of a spherical mean taken off model and data alike, against what is left of the background.
    merit : voxels whose misfit exceeds 6 standard deviations of the misfit get less weight.
    lambda_csf : 100 in the paper for MEDI+0, which also refers chi to the ventricles; 0 leaves them out.
    time_s : in which the field makes the phase that is fitted; the shortest echo spacing when None.
    """
    if not lambda_ > 0 or not 0 <= edge_share < 1 or not lambda_csf >= 0:
        raise ParameterError(
            f"medi lambda = {lambda_}, edge_share = {edge_share}, lambda_csf = {lambda_csf}; expected lambda > 0, "
            "edge_share in [0, 1), lambda_csf >= 0"
        )
    fit = _set_up(local_field, mask, scan, field_noise, radians_per_ppm(scan, time_s), smv_mm)
    problem, xp, notes = fit.problem, fit.problem.xp, []
    if s0 is None or r2star is None:
        notes.append("no edges from the magnitude: s0 and r2star were not given")
        fit.edges = xp.ones(problem.box.shape, bool)
    else:
        magnitude = problem.box.crop(mean_magnitude(xp, s0, r2star, scan.te_s))
        fit.edges = edge_mask(xp, magnitude, problem.inside, scan.voxel_mm, edge_share)
    if lambda_csf:
        fit.csf, why = ventricles(xp, None if r2star is None else problem.box.crop(r2star), problem.inside, scan)
        notes.append(why)
    stop = Stopping(iterations, tolerance, progress=progress)
    chi = fit.solve(lambda_, lambda_csf, merit, cg_iterations, cg_tolerance, stop)
    chi /= fit.scale
    if fit.csf is not None:
        chi -= ((chi * fit.csf).sum(dtype=np.float64) / fit.csf.sum()).astype(np.float32)
        return problem.finish(chi, stop.record(*notes, "zero is the mean of the ventricles"), reference="none")
    return problem.finish(chi, stop.record(*notes), reference=reference)


def _set_up(local_field: Any, mask: Any, scan: Any, field_noise: Any, scale: float, smv_mm: float | None) -> _Fit:
    problem = Problem(local_field, mask, scan)
    xp = problem.xp
    if smv_mm is not None:
        ball = ball_spectrum(xp, problem.box.shape, scan.voxel_mm, smv_mm)
        problem.filter(1 - ball)
        problem.inside = erode(problem.inside, smv_mm, scan.voxel_mm)
        problem.field *= problem.inside
    weight, _ = problem.weights(field_noise)
    weight *= (problem.inside.sum() / weight.sum(dtype=np.float64)).astype(np.float32)
    phase, problem.field = problem.field, None
    phase *= np.float32(scale)
    return _Fit(problem, weight, phase, np.float32(scale), Gradient(scan.voxel_mm))


@dataclass
class _Fit:
    """Arrays of one fit, in rad. edges: (3, x, y, z) or (x, y, z), 0 on edges; csf: bool or None."""

    problem: Problem
    weight: Any
    phase: Any
    scale: Any
    gradient: Gradient
    edges: Any = None
    csf: Any = None

    def solve(
        self, lambda_: float, lambda_csf: float, merit: bool, cg_iterations: int, cg_tolerance: float, stop: Stopping
    ) -> Any:
        """Gauss-Newton: each step solves the quadratic model by conjugate gradients."""
        xp, dipole = self.problem.xp, self.problem.dipole
        chi = xp.zeros_like(self.phase)
        field = xp.zeros_like(chi)
        data = np.float32(2 * lambda_)
        while True:
            stiffness = self._stiffness(chi)

            def weigh(g: Any, s: slice, stiffness: Any = stiffness) -> None:
                g *= self.edges[..., s, :, :]
                g *= stiffness[s]

            def prior(x: Any, out: Any, weigh: Any = weigh) -> Any:
                """out + ∇ᵀ(W∇x), in place."""
                self.gradient.add_normal(xp, x, weigh, out)
                if self.csf is not None:
                    out += self._csf(x, lambda_csf)
                return out

            def fidelity(s: slice, field: Any) -> None:
                w = self.weight[s]
                field *= data * w * w

            field -= self.phase
            xp.sin(field, out=field)
            each(lambda s, field=field: fidelity(s, field[s]), slabs(xp, chi.shape))
            rhs = prior(chi, dipole(field))
            del field
            xp.negative(rhs, out=rhs)
            inner = Stopping(cg_iterations, cg_tolerance, every=5)
            step = conjugate_gradients(xp, lambda x, prior=prior: prior(x, dipole.normal(x, fidelity)), rhs, inner)
            del rhs, stiffness, weigh, prior
            chi += step
            if stop.step((dot(xp, step, step) / xp.maximum(dot(xp, chi, chi), 1e-30)) ** 0.5):
                return chi
            field = dipole(chi)
            if merit:
                self._merit(field)

    def _stiffness(self, chi: Any) -> Any:
        """1/sqrt(|M∇chi|² + 1e-6), what turns a square into an absolute value."""
        xp, out = self.problem.xp, self.problem.xp.empty_like(chi)

        def part(s: slice) -> None:
            g = self.gradient.on_slab(xp, chi, s)
            g *= self.edges[..., s, :, :]
            g *= g
            xp.add(g[0], g[1], out=out[s])
            out[s] += g[2]
            out[s] += np.float32(1e-6)
            xp.sqrt(out[s], out=out[s])
            xp.divide(1, out[s], out=out[s])

        each(part, slabs(xp, chi.shape))
        return out

    def _csf(self, x: Any, lambda_csf: float) -> Any:
        """Gradient of λ‖M(x − mean of x over M)‖², a symmetric operator on x."""
        mean = ((x * self.csf).sum(dtype=np.float64) / self.csf.sum()).astype(np.float32)
        return np.float32(2 * lambda_csf) * self.csf * (x - mean)

    def _merit(self, field: Any) -> None:
        """Less weight where the complex misfit exceeds 6 of its standard deviations (Liu T, 2013)."""
        xp, inside = self.problem.xp, self.problem.inside
        misfit = self.weight * abs(xp.sin((field - self.phase) * np.float32(0.5))) * 2
        mean = (misfit * inside).sum(dtype=np.float64) / inside.sum()
        spread = (((misfit - mean.astype(np.float32)) ** 2 * inside).sum(dtype=np.float64) / inside.sum()) ** 0.5
        excess = xp.maximum(misfit / (6 * spread).astype(np.float32), 1)
        self.weight /= excess * excess
