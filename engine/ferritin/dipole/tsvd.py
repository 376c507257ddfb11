"""TSVD: division by the dipole kernel where it is large enough; the rest of k-space stays empty."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import ParameterError
from ferritin.inversion.division import Division
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
        chi in ppm, divided by the share of k-space that is kept, which is what a point source keeps of its value.
    """
    if not 0 < threshold < 2 / 3:
        raise ParameterError(f"tsvd threshold = {threshold}, expected between 0 and 2/3; the default is 0.1")
    division = Division(local_field, mask, scan)
    xp, kept = namespace(local_field), []  # by part, how much of k-space

    def inverse(kernel: Any, part: Part) -> Any:
        keep = abs(kernel) >= np.float32(threshold)
        kept.append(division.half_sum(keep))
        return xp.divide(keep, xp.where(keep, kernel, np.float32(1)), out=kernel)

    chi = division.chi(inverse)
    chi *= (np.prod(division.shape) / sum(kept)).astype(np.float32)
    return division.finish(chi, reference)
