"""Nonlinear methods fit the complex signal: which echo time turns their field into a phase."""

from __future__ import annotations

import math
from typing import Any

from ferritin.errors import ParameterError


def radians_per_ppm(scan: Any, time_s: float | None) -> float:
    """Phase [rad] that a field of one ppm makes in `time_s` [s]; the mean echo time when None."""
    if time_s is None:
        time_s = sum(scan.te_s) / len(scan.te_s) if scan.te_s else 0.0
    if not time_s > 0:
        raise ParameterError(f"time_s = {time_s}, expected a positive time; the scan has no echo times to take it from")
    return 2 * math.pi * scan.hz_per_ppm * time_s
