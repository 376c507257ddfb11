"""Iron from susceptibility, by a linear calibration against chemistry."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import ParameterError
from ferritin.registry import method
from ferritin.stages import Iron, Record


@method(
    "iron",
    source="Langkammer C, et al. NeuroImage 2012;62:1593 (linear in grey matter, post mortem); the slope of 0.89 is "
    "quoted second hand",
)
def chi(
    chi: Any,
    mask: Any,
    scan: Any,
    *,
    slope: Annotated[float, "ppb per mg/kg"] = 0.89,
    reference: Annotated[float, "ppm"] = 0.0,
) -> Iron:
    """(chi − reference)/slope, 0 where chi is below the reference.

    Parameters
    ----------
    chi : (x, y, z) float32 [ppm]
        Of all sources, or of the paramagnetic ones alone.
    mask : (x, y, z) bool
    slope : published ones lie between 0.55 and 1.3 and do not depend on the field.
    reference : susceptibility of tissue without iron on the map's own scale, from the ventricles, say.

    Returns
    -------
    Iron
        iron [mg/kg of fresh tissue], 0 outside the mask. Valid in grey matter: in white matter myelin prevails.
    """
    if not slope > 0:
        raise ParameterError(f"slope = {slope} ppb per mg/kg; expected above 0")
    xp = namespace(chi)
    value = xp.where(mask & xp.isfinite(chi), chi - np.float32(reference), np.float32(0))
    below, voxels = int((value < 0).sum()), max(int(mask.sum()), 1)
    notes = (
        f"slope {slope:g} ppb per mg/kg, reference {reference:g} ppm; valid in grey matter alone",
        f"{100 * below / voxels:.1f} % of the voxels are below the reference and have no iron by this relation",
    )
    return Iron(xp.maximum(value, np.float32(0)) * np.float32(1000 / slope), Record(notes=notes))
