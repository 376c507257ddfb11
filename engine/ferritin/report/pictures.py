"""Slices to what a page can embed: pictures as data, the mask's outline as a path."""

from __future__ import annotations

import base64
import io

import numpy as np

from ferritin.report.windows import Window, palette

LONGEST = 300
"""Longest side of an embedded picture [pixels]: sharp at the size it is shown on a dense screen."""


def picture(values: np.ndarray, window: Window, size_mm: tuple[float, float], mask: np.ndarray | None = None) -> str:
    """A slice as a data URI (WebP), with square pixels; outside the mask it is black.

    values : (rows, columns); size_mm : its width and height. Values are interpolated, not colours.
    """
    from PIL import Image

    width, height = (max(1, round(LONGEST * mm / max(size_mm))) for mm in size_mm)
    method = Image.Resampling.BOX if max(values.shape) > LONGEST else Image.Resampling.BICUBIC

    def resized(x: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(np.ascontiguousarray(x, np.float32)).resize((width, height), method))

    colours = palette(window.colours)[window.levels(resized(np.nan_to_num(values)))]
    if mask is not None:
        colours[resized(mask) < 0.5] = 0
    data = io.BytesIO()
    Image.fromarray(colours).save(data, "WEBP", quality=86, method=2)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def outline(mask: np.ndarray) -> str:
    """The border of a mask slice as an SVG path in pixels of the slice, "" when it is empty."""
    from contourpy import contour_generator

    if not mask.any():
        return ""
    padded = np.pad(mask, 1).astype(np.float32)
    lines = contour_generator(z=padded).lines(0.5)
    return "".join(_path(line - 0.5) for line in lines if len(line) > 6)


def _path(points: np.ndarray) -> str:
    """Corners that lie on a straight line are left out."""
    ahead, behind = np.roll(points, -1, 0) - points, points - np.roll(points, 1, 0)
    turning = np.abs(ahead[:, 0] * behind[:, 1] - ahead[:, 1] * behind[:, 0]) > 1e-3
    kept = points[turning] if turning.sum() > 2 else points
    return "M" + "L".join(f"{x:.4g} {y:.4g}" for x, y in kept) + "Z"
