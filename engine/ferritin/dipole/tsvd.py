"""TSVD: division by the dipole kernel where it is large enough; the rest of k-space stays empty."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import irfftn
from ferritin.errors import ParameterError
from ferritin.inversion.problem import Problem
from ferritin.ops.slabs import each, multiply, slabs
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
    problem = Problem(local_field, mask, scan)
    xp, kernel = problem.xp, problem.dipole.kernel
    kept = []  # by slab, how much of k-space

    def invert(s: slice) -> None:
        k = kernel[s]
        keep = abs(k) >= np.float32(threshold)
        kept.append(problem.half_sum(keep))
        xp.divide(keep, xp.where(keep, k, np.float32(1)), out=k)

    each(invert, slabs(xp, kernel.shape))
    kernel *= (np.prod(problem.box.shape) / sum(kept)).astype(np.float32)
    spectrum = problem.spectrum()
    multiply(spectrum, kernel)
    return problem.finish(irfftn(spectrum, problem.box.shape), reference=reference)
