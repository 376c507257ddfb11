"""How each map is shown: title, display window in its unit, colours. Fixed where that makes heads comparable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS

TITLES = {
    "chi": "Susceptibility χ",
    "chi_positive": "Paramagnetic sources χ⁺",
    "chi_negative": "Diamagnetic sources χ⁻",
    "r2star": "R2*",
    "r2": "R2",
    "r2prime": "R2′",
    "iron": "Iron",
    "local_field": "Local field",
    "total_field": "Total field",
    "chi_sd": "Susceptibility standard deviation",
    "field_noise": "Field noise",
    "field_reliability": "Field reliability",
    "r2star_se": "R2* standard error",
    "r2_se": "R2 standard error",
    "b1": "Transmit field B1",
    "s0": "S0",
}
"""The maps that are shown, most wanted first."""

_STOPS = {
    # Light means far from zero in either direction, dark is zero: nothing dazzles on a black page.
    "diverging": ("#a8e6ff", "#3d9be0", "#1d4e89", "#0d131c", "#8c2f24", "#e0683c", "#ffd9a0"),
    "cyclic": ("#e2d9e2", "#6276ba", "#2f1436", "#b25652", "#e2d9e2"),
}


@dataclass(frozen=True)
class Window:
    """low and high in the map's unit; colours: the name of a matplotlib colour map, or of our own."""

    low: float
    high: float
    unit: str
    colours: str = "gray"

    def levels(self, values: np.ndarray) -> np.ndarray:
        """Values as uint8, 0 at low and 255 at high; NaN as low."""
        shown = np.nan_to_num(np.asarray(values, np.float32), nan=self.low).clip(self.low, self.high)
        return ((shown - self.low) * (255 / (self.high - self.low))).astype(np.uint8)


@cache
def palette(colours: str) -> np.ndarray:
    """The colours of the 256 levels, (256, 3) uint8."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap

    stops = _STOPS.get(colours)
    found = LinearSegmentedColormap.from_list("", stops) if stops else matplotlib.colormaps[colours]
    return (255 * found(np.linspace(0, 1, 256))[:, :3]).round().astype(np.uint8)


def window_of(name: str, scan: Scan, inside: np.ndarray) -> Window:
    """The display window of a map.

    χ, R2* and the fields have windows that depend on the field strength alone, so that two reports can be laid side
    by side; noise and magnitudes, whose scale is arbitrary, are fitted to the values inside the mask.
    """
    unit = ARTIFACTS[name].unit if name in ARTIFACTS else "arbitrary"
    b0 = scan.b0_t or 3.0
    hz = scan.hz_per_ppm if scan.f0_hz else 100.0
    if name == "chi":
        return Window(-0.15, 0.15, unit)
    if name in ("chi_positive", "chi_negative"):
        return Window(0, 0.15, unit) if name == "chi_positive" else Window(-0.1, 0, unit)
    if name == "iron":
        return Window(0, 300, unit)
    if name == "field_reliability":
        return Window(0, 1, unit)
    if name in ("r2star", "r2prime"):
        return Window(0, 100 if b0 > 5 else 50 if b0 > 2 else 30, unit, "inferno")
    if name == "r2":
        return Window(0, 50 if b0 > 5 else 30, unit, "inferno")
    if name == "b1":
        return Window(0.5, 1.1, unit)
    if name in ("total_field", "local_field"):
        limit = nice((0.3 if name == "total_field" else 0.05) * hz)
        return Window(-limit, limit, unit, "diverging")
    if name == "phase":
        return Window(-np.pi, np.pi, "rad", "cyclic")
    high = 1.2 * float(np.percentile(inside, 95)) if inside.size else 1.0
    return Window(0, nice(high) if np.isfinite(high) and high > 0 else 1.0, unit, _fitted_colours(name))


def _fitted_colours(name: str) -> str:
    return "viridis" if name in ("chi_sd", "field_noise", "r2star_se", "r2_se") else "gray"


def nice(value: float) -> float:
    """The nearest of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten at or above 97 % of the value."""
    power = 10 ** np.floor(np.log10(value))
    steps = np.array((1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10))
    return float(steps[steps >= 0.97 * value / power][0] * power)
