"""What the page shows: each map with its mask, window, and a sample of its values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ferritin.io.sidecar import maker, reference
from ferritin.report.windows import TITLES, Window, window_of
from ferritin.stages import ARTIFACTS

_SAMPLE = 500_000
_LOCAL = ("local_mask", "field_mask", "mask")
_MASKS = dict.fromkeys(TITLES, (("mask",), ("mask",))) | {
    "chi": (_LOCAL, _LOCAL),
    "chi_sd": (_LOCAL, _LOCAL),
    "chi_positive": (_LOCAL, _LOCAL),
    "chi_negative": (_LOCAL, _LOCAL),
    "local_field": (_LOCAL, _LOCAL),
    "total_field": (("mask",), ("field_mask", "mask")),
}
"""For each map the mask that it is shown in, and the one whose outline is drawn; the first that is there counts."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One map to show.

    volume : (x, y, z); each : applied to a slice before it is shown; mask : where it is valid, None for everywhere;
    outlined : name of the mask whose border is drawn; whole : shown beyond the mask's box; sample : 1-D values inside
    the mask.
    """

    name: str
    title: str
    meaning: str
    volume: np.ndarray
    window: Window
    sample: np.ndarray
    mask: np.ndarray | None = None
    outlined: str = "mask"
    whole: bool = False
    each: Callable[[np.ndarray], np.ndarray] | None = None

    def slice_of(self, picture: np.ndarray) -> np.ndarray:
        """A slice of `volume` as it is shown."""
        return self.each(picture) if self.each else picture


def layers(maps: Any) -> Iterator[Layer]:
    """The layers of a run, most wanted first, then the echoes' magnitude (and the phase of a single echo)."""
    arrays, scan = maps.artifacts, maps.scan
    for name, title in TITLES.items():
        if arrays.get(name) is None:
            continue
        valid, outlined = (next(m for m in ms if m == "mask" or arrays.get(m) is not None) for ms in _MASKS[name])
        mask = arrays.get(valid)
        sample = _sample(arrays[name], mask)
        meaning = ARTIFACTS[name].meaning + _made_by(name, maps.stages)
        yield Layer(name, title, meaning, arrays[name], window_of(name, scan, sample), sample, mask, outlined)
    if arrays.get("echoes") is not None:
        yield from _echoes(arrays["echoes"], arrays.get("mask"), scan)


def _made_by(name: str, stages: Any) -> str:
    """The method behind a map, and what its zero means where that is a choice."""
    info = maker(name, stages)
    if info is None:
        return ""
    return f"; method {info.method}" + (f"; reference: {reference(info)}" if name == "chi" else "")


def _echoes(echoes: np.ndarray, mask: np.ndarray | None, scan: Any) -> Iterator[Layer]:
    """The first and the last echo over the whole field of view: folding and ghosts lie outside the mask."""
    kinds = [("magnitude", np.abs, i) for i in dict.fromkeys((0, len(echoes) - 1))]
    if len(echoes) == 1:
        kinds.append(("phase", np.angle, 0))
    for kind, function, i in kinds:
        sample = function(_sample(echoes[i], mask))
        meaning = f"{kind} of the combined echo {i + 1} of {len(echoes)}"
        title = f"{kind.capitalize()} at {1e3 * scan.te_s[i]:.3g} ms"
        window = window_of(kind, scan, sample)
        yield Layer(f"{kind}-{i + 1}", title, meaning, echoes[i], window, sample, whole=True, each=function)


def _sample(volume: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Some half a million finite values inside the mask at most."""
    step = max(1, math.ceil((volume.size / _SAMPLE) ** (1 / 3)))
    cut = (slice(None, None, step),) * 3
    values = volume[cut] if mask is None or not mask.any() else volume[cut][mask[cut]]
    values = values.ravel()
    return values[np.isfinite(values)]
