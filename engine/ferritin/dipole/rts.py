"""RTS: what the field determines well is kept, what it does not is filled in by total variation. Fast and robust."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import rfftn
from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import relative_step
from ferritin.registry import method
from ferritin.solvers.kspace_variation import kspace_variation
from ferritin.solvers.lsmr import lsmr
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Susceptibility


@method("dipole", source="Kames C, et al. NeuroImage 2018;167:276, eq. 6-9")
def rts(
    local_field: Any,
    mask: Any,
    scan: Any,
    *,
    threshold: Annotated[float, "1"] = 0.15,
    first_iterations: int = 4,
    radius: Annotated[float, "ppm"] = 3e-3,
    iterations: int = 30,
    tolerance: Annotated[float, "relative change of chi"] = 1e-2,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """Least squares by a few steps of LSMR, then the least total variation with its well-conditioned part held.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    threshold : |D| above which k-space counts as well-conditioned. Between 0 and 2/3.
    first_iterations : of LSMR; more of them sharpen and amplify noise.
    radius : gradients below this are shrunk to 0 in an iteration; the paper's 1/rho. Scales with the field.
    """
    if not 0 < threshold < 2 / 3 or not radius > 0:
        raise ParameterError(f"rts threshold = {threshold}, radius = {radius}; expected in (0, 2/3) and above 0")
    problem = Problem(local_field, mask, scan)
    xp, dipole = problem.xp, problem.dipole

    def masked(x: Any) -> Any:
        field = dipole(x)
        field *= problem.inside
        return field

    first = lsmr(
        xp, masked, lambda f: dipole(f * problem.inside), problem.field, Stopping(first_iterations, 0.0, every=100)
    )
    held = (abs(dipole.kernel) > np.float32(threshold)).astype(np.float32)
    held *= np.float32(1e4)
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    chi = kspace_variation(xp, held, rfftn(first), problem.box.shape, radius, 1.0, relative_step(scan.voxel_mm), stop)
    return problem.finish(chi, stop.record(f"{first_iterations} iterations of LSMR before"), reference=reference)
