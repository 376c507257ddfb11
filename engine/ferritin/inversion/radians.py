"""Nonlinear methods fit the complex signal: the time in which the field makes its phase."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from ferritin.errors import ParameterError


def radians_per_ppm(scan: Any, time_s: float | None) -> float:
    """Phase [rad] that one ppm makes in `time_s` [s]; the shortest echo spacing, or the only TE, when None."""
    if time_s is None:
        te = (0.0, *scan.te_s) if len(scan.te_s) == 1 else scan.te_s
        time_s = min((b - a for a, b in pairwise(te)), default=0.0)
    if not time_s > 0:
        raise ParameterError(f"time_s = {time_s}, expected a positive time; the scan has no echo times to take it from")
    return 2 * math.pi * scan.hz_per_ppm * time_s
