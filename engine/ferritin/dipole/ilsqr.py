"""iLSQR: least squares stopped early, minus the streaks that its own smooth regions betray."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import Gradient
from ferritin.ops.slabs import multiply
from ferritin.ops.smv import ball_spectrum
from ferritin.registry import method
from ferritin.solvers.cg import conjugate_gradients
from ferritin.solvers.lsmr import lsmr
from ferritin.solvers.reduction import dot, ratio
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Susceptibility

_SMOOTHING_MM = 3.0
_TKD_THRESHOLD = 1 / 8


@method("dipole", source="Li W, et al. NeuroImage 2015;108:111, eq. 6-13")
def ilsqr(
    local_field: Any,
    mask: Any,
    scan: Any,
    *,
    cone: Annotated[float, "1"] = 0.1,
    tolerance: Annotated[float, "relative residual"] = 1e-3,
    iterations: int = 50,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """Weighted least squares, a fast sign(D) estimate for its edges, and the streaks inside the cone taken off.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    cone : |D| below which k-space may hold streaks.
    tolerance, iterations : of both least-squares problems, the map's (LSMR) and the streaks' (CG). The usual 1e-2
        ends the first after 15 iterations, with slopes lower by up to 0.06 that depend more on the angle to B0.
    """
    if not 0 < cone < 1 / 3:
        raise ParameterError(f"ilsqr cone = {cone}, expected between 0 and 1/3; the default is 0.1")
    problem = Problem(local_field, mask, scan)
    xp, dipole = problem.xp, problem.dipole
    gradient = Gradient(scan.voxel_mm)
    weight = _field_weight(problem, gradient)
    first, second = (
        Stopping(iterations, tolerance, every=5, progress=progress),
        Stopping(iterations, tolerance, every=5),
    )
    chi = lsmr(xp, lambda x: weight * dipole(x), lambda f: dipole(weight * f), weight * problem.field, first)
    chi *= problem.inside
    flat = _flatness(problem, gradient, _fast(problem))
    in_cone = abs(dipole.kernel) < np.float32(cone)

    def within(x: Any) -> Any:
        spectrum = rfftn(x)
        multiply(spectrum, in_cone)
        return irfftn(spectrum, problem.box.shape)

    def weigh(g: Any, s: slice) -> None:
        g *= flat[:, s]
        g *= flat[:, s]

    def slopes(x: Any) -> Any:
        out = xp.zeros_like(x)
        gradient.add_normal(xp, x, weigh, out)
        return within(out)

    # Least squares of flat·∇(chi − streaks) over streaks in the cone, by its normal equations.
    chi -= conjugate_gradients(xp, lambda x: slopes(within(x)), slopes(chi), second)
    return problem.finish(chi, first.record(f"{second.done} iterations for the streaks"), reference=reference)


def _ramp(xp: Any, x: Any, low: Any, high: Any) -> Any:
    """1 up to low, 0 from high, linear between."""
    return xp.clip((high - x) / xp.maximum(high - low, np.float32(1e-30)), 0, 1).astype(np.float32)


def _field_weight(problem: Problem, gradient: Gradient) -> Any:
    """Data weights: less where the field's Laplacian is large, as beside vessels and errors."""
    xp, inside = problem.xp, problem.inside
    rough = abs(gradient.adjoint(xp, gradient(xp, problem.field)))
    low, high = xp.percentile(rough[inside], xp.asarray([60.0, 99.9]))
    return _ramp(xp, rough, low, high) * inside


def _flatness(problem: Problem, gradient: Gradient, fast: Any) -> Any:
    """Weights of the gradient components: 1 where the fast map is smooth, 0 on its edges."""
    xp, inside = problem.xp, problem.inside
    steep = gradient(xp, fast)
    for component in steep:
        xp.abs(component, out=component)
        low, high = xp.percentile(component[inside], xp.asarray([50.0, 70.0]))
        component[...] = _ramp(xp, component, low, high)
        component *= inside
    return steep


def _fast(problem: Problem) -> Any:
    """sign(D)·f̂, smoothed where |D| is small, twice with the mask between, on the scale of a thresholded division."""
    xp, kernel, shape = problem.xp, problem.dipole.kernel, problem.box.shape
    size = abs(kernel) ** np.float32(0.001)
    twice = size[..., 1 : (shape[2] + 1) // 2]  # of the half spectrum, what stands for its mirror image, too
    whole = xp.concatenate((size.reshape(-1), twice.reshape(-1)))
    low, high = xp.percentile(whole, xp.asarray([1.0, 30.0]))
    del twice, whole
    keep = 1 - _ramp(xp, size, low, high)
    keep += (1 - keep) * ball_spectrum(xp, shape, problem.scan.voxel_mm, _SMOOTHING_MM)
    field = problem.spectrum()
    spectrum = field * xp.sign(kernel)
    spectrum *= keep
    masked = irfftn(spectrum, shape) * problem.inside
    spectrum = rfftn(masked)
    spectrum *= keep
    fast = irfftn(spectrum, shape) * problem.inside
    field *= xp.sign(kernel) / xp.maximum(abs(kernel), np.float32(_TKD_THRESHOLD))
    divided = irfftn(field, shape) * problem.inside
    return fast * ratio(dot(xp, fast, divided), dot(xp, fast, fast))
