"""Closed-form L2: the dipole inverted in k-space against a quadratic penalty of the gradient."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import ParameterError
from ferritin.inversion.division import Division
from ferritin.ops.gradient import Gradient, relative_step
from ferritin.ops.sweep import Part
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
    division = Division(local_field, mask, scan)
    if penalty == "gradient":
        size = Gradient(relative_step(scan.voxel_mm)).normal_parts(namespace(local_field), division.shape)
    else:
        size = None

    def inverse(kernel: Any, part: Part) -> Any:
        below = kernel * kernel
        below += np.float32(lambda_) if size is None else np.float32(lambda_) * size(part)
        below[0, 0, 0] += np.float32(1e-30)  # at k = 0 nothing is divided by 0
        kernel /= below
        return kernel

    return division.finish(division.chi(inverse), reference)
