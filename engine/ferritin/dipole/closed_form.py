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


@method("dipole", source="Bilgic B, et al. JMRI 2014;40:181, eq. 5; MRM 2014;72:1444 (correlation_mm = none)")
def closed_form(
    local_field: Any,
    mask: Any,
    scan: Any,
    *,
    lambda_: Annotated[float | Literal["auto"], "1"] = "auto",
    penalty: Annotated[Literal["gradient", "identity"], "gradient|identity"] = "gradient",
    correlation_mm: Annotated[float | None, "mm"] = 3.2,
    reference: Annotated[str, "mean|none"] = "mean",
) -> Susceptibility:
    """D·f̂/(D² + λE), E = |∇|² + (voxel/correlation_mm)²: two transforms, no iteration.

    The field is cut at the mask's rim, which errs most at low frequencies. The gradient alone hardly counts there, and
    the few samples of k-space that come to lie near the magic angle's cone would fill the map with broad streaks.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool; outside, the field counts as 0.
    lambda_ : of the differences between neighbouring voxels ("gradient") or of chi itself ("identity"); the same in any
        unit of the field. "auto" takes it from the field's noise.
    correlation_mm : over which chi is alike: slower changes are no more likely than those of this length. None counts
        the gradient alone, as the paper does; without meaning for "identity".
    """
    if not lambda_ > 0:
        raise ParameterError(f"closed_form lambda = {lambda_}, expected above 0, or auto")
    if correlation_mm is not None and not correlation_mm > 0:
        raise ParameterError(f"closed_form correlation_mm = {correlation_mm}, expected above 0, or none")
    division = Division(local_field, mask, scan)
    size = None
    if penalty == "gradient":
        floor = 0.0 if correlation_mm is None else float(np.prod(scan.voxel_mm)) ** (2 / 3) / correlation_mm**2
        size = Gradient(relative_step(scan.voxel_mm)).normal_parts(namespace(local_field), division.shape, floor)

    def inverse(kernel: Any, part: Part) -> Any:
        below = kernel * kernel
        below += np.float32(lambda_) if size is None else np.float32(lambda_) * size(part)
        below[0, 0, 0] += np.float32(1e-30)  # at k = 0 nothing is divided by 0
        kernel /= below
        return kernel

    return division.finish(division.chi(inverse), reference)
