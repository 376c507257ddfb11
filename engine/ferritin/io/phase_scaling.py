"""What the numbers of a phase image mean: recognised from their range, stated, and never guessed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ferritin.errors import AmbiguousError, ParameterError
from ferritin.scan import Finding

_PI = math.pi
_FILLED = 0.9
"""A wrapped phase with noise or tissue fills its range; less than this share of it proves nothing."""


@dataclass(frozen=True)
class Unit:
    """A custom of writing phase. rad = factor * (value - zero); low, high: the range of one full turn."""

    factor: float
    zero: float
    low: float
    high: float

    def fits(self, low: float, high: float) -> bool:
        """Whether values from low to high lie within the range, and fill it."""
        slack = 0.005 * (self.high - self.low)
        inside = low >= self.low - slack and high <= self.high + slack
        return inside and high - low >= _FILLED * (self.high - self.low)


UNITS = {
    "rad": (Unit(1.0, 0.0, -_PI, _PI), Unit(1.0, 0.0, 0.0, 2 * _PI)),
    "4096": (Unit(_PI / 4096, 0.0, -4096, 4096),),
    "0..4095": (Unit(_PI / 2048, 2048, 0, 4095),),
    "mrad": (Unit(1e-3, 0.0, -1000 * _PI, 1000 * _PI),),
    "degrees": (Unit(_PI / 180, 0.0, -180, 180), Unit(_PI / 180, 0.0, 0, 360)),
}
_ALIASES = {"siemens": "4096", "-4096..4096": "4096", "±4096": "4096", "radians": "rad", "deg": "degrees"}
CHOICES = ("rad", "header", "4096", "0..4095", "mrad", "degrees")


@dataclass(frozen=True)
class Scaling:
    """rad = factor * (value - zero), value being the stored number or, when `scaled`, slope * stored + intercept."""

    name: str
    scaled: bool
    factor: float
    zero: float

    def linear(self, slope: float, intercept: float) -> tuple[float, float]:
        """Factor and offset that turn stored numbers into rad, for a file's slope and intercept."""
        if not self.scaled:
            return self.factor, -self.factor * self.zero
        return self.factor * slope, self.factor * (intercept - self.zero)


def recognise(
    stored: tuple[float, float],
    scaled: tuple[float, float],
    *,
    asked: str | None,
    stated_rad: bool,
    name: str,
) -> tuple[Scaling, list[Finding]]:
    """Decide what the values of all phase images together mean.

    Parameters
    ----------
    stored, scaled : smallest and largest value as stored, and after the header's slope and intercept
    asked : the user's word, which decides: one of CHOICES, or a number N that stands for pi
    stated_rad : a sidecar says that the unit is rad
    name : of the files, for messages

    Raises
    ------
    AmbiguousError
        No custom fits, or two that differ; the message names --phase-scaling.
    """
    has_scale = stored != scaled
    if asked is not None:
        return _asked(_ALIASES.get(asked, asked), stored, scaled)
    found = [
        Scaling(unit_name, is_scaled, unit.factor, unit.zero)
        for is_scaled, (low, high) in ((True, scaled), (False, stored))[: 1 + has_scale]
        for unit_name, units in UNITS.items()
        for unit in units
        if unit.fits(low, high)
    ]
    per_stored = [s.factor * (_ratio(stored, scaled) if s.scaled else 1.0) for s in found]
    if not found and stated_rad and not has_scale:
        return Scaling("rad", False, 1.0, 0.0), [
            Finding(f"phase from {stored[0]:.4g} to {stored[1]:.4g}", "taken as rad, as the sidecar says", "info")
        ]
    if not found or max(per_stored) > 1.005 * min(per_stored):
        scale = f" ({scaled[0]:.4g} to {scaled[1]:.4g} by the header's slope)" if has_scale else ""
        why = "fit no known unit" if not found else f"fit {' and '.join(s.name for s in found)}"
        raise AmbiguousError(
            f"{name}: phase values from {stored[0]:.4g} to {stored[1]:.4g}{scale} {why}; "
            f"say what they mean with --phase-scaling ({', '.join(CHOICES)})"
        )
    return found[0], [_statement(found[0], stored, scaled, stated_rad)]


def _ratio(stored: tuple[float, float], scaled: tuple[float, float]) -> float:
    return (scaled[1] - scaled[0]) / (stored[1] - stored[0])


def _statement(chosen: Scaling, stored: tuple[float, float], scaled: tuple[float, float], stated_rad: bool) -> Finding:
    low, high = scaled if chosen.scaled else stored
    problem, level = f"phase values from {low:.4g} to {high:.4g}", "info"
    if stored != scaled and not chosen.scaled:
        problem += f", but {scaled[0]:.4g} to {scaled[1]:.4g} by the header's slope, which is stale"
        level = "warning"
    if stated_rad and chosen.name != "rad":
        problem += ", while the sidecar says rad"
        level = "warning"
    return Finding(problem, f"read as {chosen.name}", level)


def _asked(name: str, stored: tuple[float, float], scaled: tuple[float, float]) -> tuple[Scaling, list[Finding]]:
    """The user's choice, applied to the header-scaled or the stored values, whichever come nearer to its range."""
    if name == "header":
        return Scaling("header", True, 1.0, 0.0), [_given("slope and intercept give rad", scaled, 2 * _PI)]
    unit = UNITS[name][0] if name in UNITS else _half_turn(name)

    def misfit(values: tuple[float, float]) -> float:
        span = max(values[1] - values[0], 1e-30)
        return abs(math.log(span / (unit.high - unit.low)))

    is_scaled = stored != scaled and misfit(scaled) <= misfit(stored)
    which = "header-scaled" if is_scaled else "stored"
    said = _given(f"{which} values read as {name}", scaled if is_scaled else stored, unit.high - unit.low)
    return Scaling(name, is_scaled, unit.factor, unit.zero), [said]


def _given(how: str, values: tuple[float, float], turn: float) -> Finding:
    """What is said of the user's choice: a warning where the values leave much of the turn empty."""
    filled = (values[1] - values[0]) / turn
    if filled >= _FILLED:
        return Finding("phase scaling given", how, "info")
    range_ = f"from {values[0]:.4g} to {values[1]:.4g} fill {100 * filled:.0f} % of a turn"
    return Finding(f"phase scaling given, but values {range_}", f"{how} all the same: check --phase-scaling")


def _half_turn(text: str) -> Unit:
    """The unit of which N makes half a turn."""
    try:
        n = float(text)
    except ValueError:
        n = math.nan
    if not (math.isfinite(n) and n > 0):
        raise ParameterError(
            f"phase scaling '{text}' is not known; expected {', '.join(CHOICES)}, or the number that stands for pi"
        )
    return Unit(_PI / n, 0.0, -n, n)
