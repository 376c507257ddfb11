"""Closed-form L2: the dipole inverted in k-space against a quadratic penalty of the gradient."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from ferritin.backend import irfftn
from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import Gradient, relative_step
from ferritin.ops.slabs import each, multiply, slabs
from ferritin.registry import method
from ferritin.stages import Susceptibility


@method("dipole", source="Bilgic B, et al. JMRI 2014;40:181, eq. 5; MRM 2014;72:1444")
def closed_form(
    local_field: Any,
    mask: Any,
    scan: Any,
    *,
    lambda_: Annotated[float, "1"] = 6e-3,
    penalty: Annotated[Literal["gradient", "identity"], "gradient|identity"] = "gradient",
    reference: Annotated[str, "mean|none"] = "mean",
) -> Susceptibility:
    """D·f̂/(D² + λE): two transforms, no iteration.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool; outside, the field counts as 0.
    lambda_ : of the differences between neighbouring voxels ("gradient") or of chi itself ("identity"); the same in any
        unit of the field.
    """
    if not lambda_ > 0:
        raise ParameterError(f"closed_form lambda = {lambda_}, expected above 0; the default is 6e-3")
    problem = Problem(local_field, mask, scan)
    xp, kernel = problem.xp, problem.dipole.kernel
    if penalty == "gradient":
        size = Gradient(relative_step(scan.voxel_mm)).normal_spectrum(xp, problem.box.shape)
        size *= np.float32(lambda_)
    else:
        size = xp.full(kernel.shape, np.float32(lambda_))
    size[0, 0, 0] = 1

    def invert(s: slice) -> None:
        below, k = size[s], kernel[s]
        below += k * k
        k /= below

    each(invert, slabs(xp, kernel.shape))
    spectrum = problem.spectrum()
    multiply(spectrum, kernel)
    return problem.finish(irfftn(spectrum, problem.box.shape), reference=reference)
