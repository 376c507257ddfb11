"""Iterative SMV: a harmonic field is its own spherical mean; repeat the mean until only the background is left."""

from __future__ import annotations

from typing import Annotated, Any

from ferritin.inversion.high_pass import HighPass
from ferritin.registry import method
from ferritin.solvers.reduction import dot, ratio
from ferritin.solvers.stopping import Stopping
from ferritin.stages import LocalField


@method("background", source="Wen Y, et al. MRM 2014;72:1065, eq. 5")
def ismv(
    total_field: Any,
    mask: Any,
    scan: Any,
    *,
    radius_mm: Annotated[float, "mm"] = 5.0,
    iterations: int = 500,
    tolerance: Annotated[float, "relative change of the background"] = 1e-4,
    progress: Any = None,
) -> LocalField:
    """B ← S*B where the ball fits, B = total field in the rim; the local field is what is left.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    """
    high = HighPass(total_field, mask, scan, radius_mm)
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    background, size = high.field.copy(), dot(high.xp, high.field, high.field)
    while True:
        step = high(background)
        step *= high.valid
        background -= step
        if stop.step(ratio(dot(high.xp, step, step), size) ** 0.5 if stop.due else None):
            break
    local = high.field - background
    local *= high.valid
    return LocalField(high.box.place(local), high.box.place(high.valid), stop.record())
