"""RESHARP: the smallest local field whose high-pass is that of the total field."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.high_pass import HighPass
from ferritin.registry import method
from ferritin.solvers.cg import conjugate_gradients
from ferritin.solvers.stopping import Stopping
from ferritin.stages import LocalField


@method("background", source="Sun H, Wilman AH. MRM 2014;71:1151, eq. 6")
def resharp(
    total_field: Any,
    mask: Any,
    scan: Any,
    *,
    radius_mm: Annotated[float, "mm"] = 6.0,
    lambda_: Annotated[float, "1"] = 1e-4,
    iterations: int = 200,
    tolerance: Annotated[float, "relative residual"] = 1e-3,
    progress: Any = None,
) -> LocalField:
    """min over l of ‖M(δ − S)*(l − f)‖² + λ‖l‖² by conjugate gradients; M is where the ball fits.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    lambda_ : relative to the square of the high-pass, at most about 1: the same in any unit of the field.
    """
    if not lambda_ >= 0:
        raise ParameterError(f"resharp lambda = {lambda_}, expected 0 or more; the default is 1e-4")
    high = HighPass(total_field, mask, scan, radius_mm)
    stop = Stopping(iterations, tolerance, every=5, progress=progress)

    def normal(x: Any) -> Any:
        filtered = high(x)
        filtered *= high.valid
        out = high(filtered)
        out += np.float32(lambda_) * x
        return out

    filtered = high(high.field)
    filtered *= high.valid
    local = conjugate_gradients(high.xp, normal, high(filtered), stop)
    local *= high.valid
    return LocalField(high.box.place(local), high.box.place(high.valid), stop.record())
