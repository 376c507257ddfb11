"""Small drawings in the page's own colours: a histogram that stands on its colour bar."""

from __future__ import annotations

from html import escape

import numpy as np

from ferritin.report.windows import Window, palette

BINS = 96


def scale(values: np.ndarray, window: Window, unit: str) -> str:
    """Histogram of the values inside the window, the colour bar below it, and how much lies beyond on either side."""
    counts, _ = np.histogram(values, BINS, (window.low, window.high))
    heights = np.minimum(1, counts / max(1, np.percentile(counts, 98)))
    steps = "".join(f"V{40 * (1 - h):.4g}H{i + 1}" for i, h in enumerate(heights))
    stops = ",".join("#{:02x}{:02x}{:02x}".format(*c) for c in palette(window.colours)[::15])
    ticks = np.linspace(window.low, window.high, 5)
    below, above = (100 * float(np.mean(beyond)) if values.size else 0.0 for beyond in _beyond(values, window))
    labels = "".join(f"<span>{_tick(t, window)}</span>" for t in ticks)
    median = float(np.median(values)) if values.size else window.low
    mark = BINS * (min(max(median, window.low), window.high) - window.low) / (window.high - window.low)
    text = f"Histogram, {window.low:.4g} to {window.high:.4g} {unit}"
    return (
        f'<figure class="scale" role="img" aria-label="{escape(text)}">'
        f'<svg viewBox="0 0 {BINS} 40" preserveAspectRatio="none"><path d="M0 40{steps}V40Z"/>'
        f'<path class="median" d="M{mark:.4g} 0V40"/></svg>'
        f'<div class="bar" style="background:linear-gradient(90deg,{stops})"></div>'
        f'<div class="ticks">{labels}</div>'
        f'<figcaption><span title="below the window">{_share(below)}</span><span>{escape(unit)}</span>'
        f'<span title="above the window">{_share(above)}</span></figcaption></figure>'
    )


def summary(values: np.ndarray) -> list[tuple[str, str]]:
    """Statistics of the values inside the mask, by name."""
    if not values.size:
        return [("values", "none")]
    low, median, high = np.percentile(values, (5, 50, 95))
    return [
        ("median", number(median)),
        ("5–95 %", f"{number(low)} … {number(high)}"),
        ("range", f"{number(values.min())} … {number(values.max())}"),
    ]


def _beyond(values: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    return values < window.low, values > window.high


def _share(percent: float) -> str:
    """How much lies beyond an end of the window."""
    return f"{percent:.2g} % beyond" if percent >= 0.005 else ""


def _tick(value: float, window: Window) -> str:
    """A number with as many digits as the distance between ticks needs."""
    step = (window.high - window.low) / 4
    digits = next((d for d in range(6) if abs(round(step, d) - step) < 1e-3 * step), 6)
    return number(value, f".{digits}f") if value else "0"


def number(value: float, how: str = "") -> str:
    """A number in three digits (thousands written out), with a minus sign that is one."""
    how = how or (".0f" if 1000 <= abs(value) < 1e6 else ".3g")
    return format(value, how).replace("-", "−")
