"""TSVD: division by the dipole kernel where it is large enough; the rest of k-space stays empty."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import ParameterError
from ferritin.inversion.division import Division, cone
from ferritin.ops.sweep import Part
from ferritin.registry import method
from ferritin.stages import Susceptibility


@method("dipole", source="Wharton S, et al. MRM 2010;63:1292; point spread: Schweser F, et al. MRM 2013;69:1582")
def tsvd(
    local_field: Any,
    mask: Any,
    scan: Any,
    *,
    threshold: Annotated[float, "1"] = 0.1,
    reference: Annotated[str, "mean|none"] = "mean",
) -> Susceptibility:
    """Truncated division in k-space.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    threshold : where |D| is smaller, chi's spectrum is 0. Between 0 and 2/3.

    Returns
    -------
    Susceptibility
        chi in ppm, divided by the share of all directions that is kept, which is what a source keeps of its value.
        Over the corners of k-space as well, the share would differ with the angle of B0, and the value of anything
        larger than a voxel with it.
    """
    if not 0 < threshold < 2 / 3:
        raise ParameterError(f"tsvd threshold = {threshold}, expected between 0 and 2/3; the default is 0.1")
    division = Division(local_field, mask, scan)
    xp, (low, high) = namespace(local_field), cone(threshold)

    def inverse(kernel: Any, part: Part) -> Any:
        keep = abs(kernel) >= np.float32(threshold)
        return xp.divide(keep, xp.where(keep, kernel, np.float32(1)), out=kernel)

    chi = division.chi(inverse)
    chi *= np.float32(1 / (1 - (high - low)))
    return division.finish(chi, reference)
