"""TKD: division by the dipole kernel, cut where the kernel is small, with the point spread corrected."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import ParameterError
from ferritin.inversion.division import Division, cone
from ferritin.ops.sweep import Part
from ferritin.registry import method
from ferritin.stages import Susceptibility


@method("dipole", source="Shmueli K, et al. MRM 2009;62:1510, eq. 6; point spread: Schweser F, et al. MRM 2013;69:1582")
def tkd(
    local_field: Any,
    mask: Any,
    scan: Any,
    *,
    threshold: Annotated[float, "1"] = 0.15,
    reference: Annotated[str, "mean|none"] = "mean",
) -> Susceptibility:
    """Thresholded k-space division.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    threshold : where |D| is smaller, sign(D)/threshold stands for 1/D. Between 0 and 2/3.
    reference : "mean" subtracts the mean over the mask.

    Returns
    -------
    Susceptibility
        chi in ppm, 0 outside the mask; divided by the mean of D/D_cut over all directions, which is what the cut leaves
        of a source. Over the corners of k-space as well, the mean would differ with the angle of B0, and the value of
        anything larger than a voxel with it.
    """
    if not 0 < threshold < 2 / 3:
        raise ParameterError(f"tkd threshold = {threshold}, expected between 0 and 2/3; the default is 0.15")
    division = Division(local_field, mask, scan)
    xp, most = namespace(local_field), np.float32(1 / threshold)

    def inverse(kernel: Any, part: Part) -> Any:
        with np.errstate(divide="ignore"):  # an infinity is cut as well
            cut = xp.reciprocal(kernel)
        xp.clip(cut, -most, most, out=cut)
        return cut

    chi = division.chi(inverse)
    chi *= np.float32(1 / _left(threshold))
    return division.finish(chi, reference)


def _left(threshold: float) -> float:
    """Mean of D/D_cut over all directions: 1 outside the cone, |D|/threshold in it."""
    low, high = cone(threshold)
    integral = lambda u: (u - u**3) / 3  # noqa: E731  of D = 1/3 - u² over the cosine u
    within = 2 * integral(3**-0.5) - integral(low) - integral(high)
    return 1 - (high - low) + within / threshold
