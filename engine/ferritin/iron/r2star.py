"""Iron from R2*, by a linear calibration against chemistry."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import HeaderError, ParameterError
from ferritin.registry import method
from ferritin.stages import Iron, Record


@method(
    "iron",
    source="Langkammer C, et al. Radiology 2010;257:455 (linear at 3 T, post mortem); the line 0.27 [Fe] + 14.3 is "
    "quoted second hand",
)
def r2star(
    r2star: Any,
    mask: Any,
    scan: Any,
    *,
    slope: Annotated[float | Literal["auto"], "1/s per mg/kg"] = "auto",
    intercept: Annotated[float, "1/s"] = 14.3,
) -> Iron:
    """(R2* − intercept)/slope, 0 where R2* is below the intercept.

    Parameters
    ----------
    r2star : (x, y, z) float32 [1/s]
    mask : (x, y, z) bool
    slope : "auto" is 0.27 at 3 T, in proportion to B0.
    intercept : of tissue without iron; it is taken as the same at every field.

    Returns
    -------
    Iron
        iron [mg/kg of fresh tissue], 0 outside the mask.

    Notes
    -----
    Valid in grey matter. In white matter myelin and the angle of the fibres rule R2*. The calibration is of unfixed
    brains after death; in vivo the slope is uncertain by some tenths: give your own where there is one.
    """
    if slope == "auto":
        if scan.b0_t is None:
            raise HeaderError("the field strength is not known, so slope = auto has no value; give it with --b0")
        slope = 0.27 * scan.b0_t / 3
    if not slope > 0:
        raise ParameterError(f"slope = {slope} 1/s per mg/kg; expected above 0")
    xp = namespace(r2star)
    value = xp.where(mask & xp.isfinite(r2star), r2star - np.float32(intercept), np.float32(0))
    below, voxels = int((value < 0).sum()), max(int(mask.sum()), 1)
    notes = (
        f"slope {slope:.4g} 1/s per mg/kg, intercept {intercept:g} 1/s; valid in grey matter alone",
        f"{100 * below / voxels:.1f} % of the voxels are below the intercept and have no iron by this relation",
    )
    return Iron(xp.maximum(value, np.float32(0)) / np.float32(slope), Record(notes=notes))
