"""PDF: the field is projected onto the fields of dipoles outside the mask, by the field's noise."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.inversion.problem import Problem
from ferritin.registry import method
from ferritin.solvers.cg import conjugate_gradients
from ferritin.solvers.stopping import Stopping
from ferritin.stages import LocalField


@method("background", source="Liu T, et al. NMR Biomed 2011;24:1129, eq. 8")
def pdf(
    total_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    *,
    margin_mm: Annotated[float, "mm"] = 60.0,
    iterations: int = 60,
    tolerance: Annotated[float, "relative residual"] = 1e-4,
    progress: Any = None,
) -> LocalField:
    """min over chi outside the mask of ‖w(D*chi − f)‖², f less its weighted mean; the local field is what is left of f.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    field_noise : (x, y, z) float32 [Hz], optional; w is its reciprocal.
    margin_mm : room for sources around the mask, both sides together.
    iterations : also the regularisation: few leave background, many take local field.
    """
    problem = Problem(total_field, mask, scan, margin_mm=margin_mm)
    weight, _ = problem.weights(field_noise)
    weight *= weight
    outside = ~problem.inside
    mean = (problem.field * weight).sum(dtype=np.float64) / weight.sum(dtype=np.float64)
    problem.field -= mean.astype(np.float32) * problem.inside
    stop = Stopping(iterations, tolerance, progress=progress)

    def normal(x: Any) -> Any:
        field = problem.dipole(x)
        field *= weight
        out = problem.dipole(field)
        out *= outside
        return out

    rhs = problem.dipole(weight * problem.field)
    rhs *= outside
    chi = conjugate_gradients(problem.xp, normal, rhs, stop)
    local = (problem.field - problem.dipole(chi)) * problem.inside
    local *= np.float32(scan.hz_per_ppm)
    return LocalField(problem.box.place(local), problem.box.place(problem.inside), stop.record())
