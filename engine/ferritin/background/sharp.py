"""SHARP: take off the spherical mean, which a harmonic field equals, and undo the filter on what is left."""

from __future__ import annotations

from typing import Annotated, Any

from ferritin.errors import ParameterError
from ferritin.inversion.high_pass import HighPass
from ferritin.registry import method
from ferritin.stages import LocalField


@method("background", source="Schweser F, et al. NeuroImage 2011;54:2789, eq. 7-9")
def sharp(
    total_field: Any,
    mask: Any,
    scan: Any,
    *,
    radius_mm: Annotated[float, "mm"] = 6.0,
    threshold: Annotated[float, "1"] = 0.02,
) -> LocalField:
    """One ball, one deconvolution; the rim of the ball's radius is lost.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    threshold : frequencies where 1 - Ŝ is smaller are set to 0.
    """
    if not 0 < threshold < 1:
        raise ParameterError(f"sharp threshold = {threshold}, expected between 0 and 1; the default is 0.02")
    high = HighPass(total_field, mask, scan, radius_mm)
    local = high.deconvolve(high(high.field) * high.valid, threshold)
    local *= high.valid
    return LocalField(high.box.place(local), high.box.place(high.valid))
