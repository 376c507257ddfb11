"""ROMEO on all echoes: one unwrapped in space, the others from it in time, or each in space by itself.

Dymerska B, et al. Phase unwrapping with a rapid opensource minimum spanning tree algorithm (ROMEO). MRM 2021;85:2294.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ferritin_kernels import api
from ferritin_kernels.romeo import phase, romeo_grow, romeo_quality, romeo_weights

_TURN = 2 * np.pi


class Unwrapped(NamedTuple):
    """Unwrapped phase [rad] (echo, x, y, z), regions (x, y, z) int32 from 1 on, and their number."""

    phase: Any
    regions: Any
    n_regions: int


def romeo(
    echoes: Any,
    te_s: Any,
    mask: Any = None,
    magnitude: Any = None,
    *,
    template: int = 0,
    second: int | None = None,
    gradient: bool = True,
    linear: bool = True,
    bright: float | None = None,
    individual: bool = False,
    retry_below: float = 0.0,
    threads: int | None = None,
) -> Unwrapped:
    """Unwrap all echoes by region growing. Host arrays only.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64, or float32 wrapped phase [rad]
        Without a phase offset at TE = 0 (as MCPC-3D-S leaves them), else the step in time is wrong.
    te_s : (echo,) [s]
    mask : (x, y, z) bool, optional
    magnitude : (x, y, z) float32, optional
        For the weights of every echo; the echo's own is taken from complex echoes when not given.
    template, second : echo that is unwrapped in space, and the one whose gradients must agree with it
        (its neighbour, an earlier one if there is any, when not given).
    gradient, linear : use the second echo's gradients; judge the linearity of the phase.
    bright : as in `romeo_quality`
    individual : unwrap every echo in space, and take from the time no more than each region's whole turns.
    retry_below : float
        After the step in time, voxels whose quality (of half the unwrapped phase) is below this are unwrapped again in
        space from the others; 0.5 helps in veins, 0 leaves the step out.

    Returns
    -------
    Unwrapped
        phase: float32 [rad], 0 outside the mask; regions of the template, whose whole turns are those that fit both
        echoes best.
    """
    te = api.check_echoes(echoes, te_s, 1)
    is_complex = echoes.dtype == np.complex64
    out = phase(echoes, threads=threads) if is_complex else np.array(echoes, order="C")
    n = te.size
    second = _neighbour(template, n) if second is None else second
    if not 0 <= template < n or (n > 1 and (second == template or not 0 <= second < n)):
        raise ValueError(f"template {template} and second {second} must be two of the {n} echoes")

    def options(e: int) -> dict[str, Any]:
        own = echoes[e] if magnitude is None and is_complex else magnitude
        return {"magnitude": own, "bright": bright, "linear": linear, "threads": threads}

    def grow(e: int, other: int) -> tuple[np.ndarray, int]:
        pair = {"second": out[other], "te_ratio": te[e] / te[other]} if n > 1 and gradient else {}
        return romeo_grow(out[e], romeo_weights(out[e], mask, **pair, **options(e)), mask)

    regions, number = grow(template, second)
    _level(out[template], out[second] if n > 1 else None, regions, number, te[second] / te[template])
    if individual:
        for e in sorted(range(n), key=lambda e: abs(e - template))[1:]:
            known = e - 1 if e > template else e + 1
            _follow_by_region(out[e], out[known], te[e] / te[known], *grow(e, _neighbour(e, n)))
        for echo in out if mask is not None else ():
            np.copyto(echo, 0, where=~mask.view(bool))
        return Unwrapped(out, regions, number)
    _follow(out, te, template, mask, threads)
    for e in range(n) if retry_below > 0 else ():
        if e != template:
            _retry(out[e], mask, retry_below, options(e))
    return Unwrapped(out, regions, number)


def _neighbour(echo: int, n_echo: int) -> int:
    """The echo before; after the first, the next."""
    return echo - 1 if echo else min(1, n_echo - 1)


def _level(phase: np.ndarray, second: np.ndarray | None, regions: np.ndarray, number: int, ratio: float) -> None:
    """Give each region the whole turns that agree best with the second echo."""
    api.launch(
        "grow",
        phase.size,
        {"phase": phase, "second": second, "region": regions},
        {"n_voxel": phase.size, "n_regions": number, "ratio": ratio},
        entry="romeo_level",
        struct="RomeoLevelArgs",
    )


def _follow_by_region(fresh: np.ndarray, known: np.ndarray, ratio: float, regions: np.ndarray, number: int) -> None:
    """Give each region of an echo the whole turns that an unwrapped echo predicts on its average voxel."""
    turns = np.rint((fresh - known * np.float32(ratio)) * np.float32(1 / _TURN)).ravel()
    turns[~np.isfinite(turns)] = 0
    size = np.bincount(regions.ravel(), minlength=number + 1)
    shift = np.rint(np.bincount(regions.ravel(), turns, number + 1) / np.maximum(size, 1))
    shift[0] = 0
    fresh -= np.float32(_TURN) * shift.astype(np.float32)[regions]


def _follow(out: np.ndarray, te: np.ndarray, template: int, mask: Any, threads: int | None) -> None:
    """From the template outward, each echo takes the turn that its neighbour predicts; 0 outside the mask."""
    api.launch(
        "romeo",
        out[0].size,
        {"phase": out, "mask": api.check_mask(mask, out.shape[1:]), "te": te.astype(np.float32)},
        {"n_voxel": out[0].size, "n_echo": te.size, "reference": template},
        entry="romeo_temporal",
        struct="RomeoTemporalArgs",
        threads=threads,
    )


def _retry(echo: np.ndarray, mask: Any, below: float, options: dict[str, Any]) -> None:
    """Unwrap again in space where neighbouring voxels do not fit together after the step in time."""
    half = echo * np.float32(0.5)
    good = romeo_quality(half, mask, **options) >= below
    if mask is not None:
        good &= mask.view(bool)
    if good.any():
        np.subtract(echo, _TURN * np.rint(echo / _TURN), out=half, casting="unsafe")
        romeo_grow(echo, romeo_weights(half, mask, **options), mask, regions=good.astype(np.int32))
