"""ROMEO phase unwrapping: the contracts of romeo.cuh and grow.hpp, and their meaning in plain Python.

Dymerska B, et al. Phase unwrapping with a rapid opensource minimum spanning tree algorithm (ROMEO). MRM 2021;85:2294.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ferritin_kernels import api


class Unwrapped(NamedTuple):
    """Unwrapped phase [rad] (echo, x, y, z) or (x, y, z), regions (x, y, z) int32 from 1 on, and their number."""

    phase: Any
    regions: Any
    n_regions: int


def phase(echoes: Any, *, out: Any = None, threads: int | None = None) -> Any:
    """Phase in [-π, π] of complex64 echoes of any shape, float32 [rad], into `out` if given."""
    xp = api.namespace(echoes)
    if echoes.dtype != np.complex64:
        raise TypeError(f"echoes have dtype {echoes.dtype}, expected complex64; convert them with .astype")
    out = xp.empty(echoes.shape, np.float32) if out is None else out
    arrays = {"echoes": api.contiguous("echoes", echoes), "phase": api.contiguous("out", out)}
    api.launch("phase", out.size, arrays, {"n_voxel": out.size}, threads=threads)
    return out


def romeo_weights(phase: Any, mask: Any = None, **options: Any) -> Any:
    """ROMEO's edge costs, (3, x, y, z) uint8: 1 is the best edge, 255 the worst, 0 is none.

    cost[axis] at a voxel belongs to the edge to its next voxel along the axis; options as in `romeo_quality`.
    """
    cost = api.namespace(phase).empty((3, *phase.shape), np.uint8)
    _weigh(phase, mask, cost=cost, **options)
    return cost


def romeo_quality(phase: Any, mask: Any = None, **options: Any) -> Any:
    """Mean of the weights of the (up to six) edges at each voxel, (x, y, z) float32 in [0, 1].

    Parameters
    ----------
    phase : (x, y, z) float32 [rad], wrapped or not
    mask : (x, y, z) bool, optional; edges need both ends inside
    second : (x, y, z) float32 [rad], optional
        Phase of a second echo, for the coherence of the gradient; with `te_ratio`.
    te_ratio : float
        Echo time of `phase` over that of `second`.
    magnitude : (x, y, z) float32, or complex64 whose magnitude is taken, optional
    bright : float, optional
        95th percentile of the magnitude inside the mask: turns on the two terms for dim and glaring voxels ("romeo6").
    threads : int, optional
    """
    quality = api.namespace(phase).empty(phase.shape, np.float32)
    _weigh(phase, mask, quality=quality, **options)
    return quality


def _weigh(
    phase: Any,
    mask: Any = None,
    *,
    cost: Any = None,
    quality: Any = None,
    second: Any = None,
    te_ratio: float = 1.0,
    magnitude: Any = None,
    bright: float | None = None,
    threads: int | None = None,
) -> None:
    _check_volume("phase", phase, phase.shape, (np.float32,))
    if second is not None:
        _check_volume("second", second, phase.shape, (np.float32,))
    if magnitude is not None:
        _check_volume("magnitude", magnitude, phase.shape, (np.float32, np.complex64))
    is_complex = magnitude is not None and magnitude.dtype == np.complex64
    nx, ny, nz = phase.shape
    api.launch(
        "romeo",
        phase.size,
        {
            "phase": phase,
            "second": phase if second is None else second,
            "magnitude": magnitude,
            "mask": api.check_mask(mask, phase.shape),
            "cost": cost,
            "quality": quality,
        },
        {
            "n_voxel": phase.size,
            "nx": nx,
            "ny": ny,
            "nz": nz,
            "complex_magnitude": is_complex,
            "ratio": 1.0 if second is None else te_ratio,
            "bright": bright or 0.0,
        },
        defines={"FERRITIN_MAGNITUDE": 0 if magnitude is None else 2 if is_complex else 1},
        entry="romeo_weights",
        struct="RomeoWeightsArgs",
        threads=threads,
    )


def _check_volume(name: str, array: Any, shape: tuple[int, ...], dtypes: tuple[type, ...]) -> None:
    if tuple(array.shape) != tuple(shape) or array.ndim != 3 or array.dtype not in dtypes:
        names = " or ".join(np.dtype(d).name for d in dtypes)
        raise ValueError(f"{name} is {array.dtype} {tuple(array.shape)}, expected {names} (x, y, z) {tuple(shape)}")
    api.contiguous(name, array)


def romeo_grow(
    phase: np.ndarray, cost: np.ndarray, mask: np.ndarray | None = None, *, regions: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """Unwrap a phase in place along the cheapest edges; host arrays only. Returns (regions, their number).

    Every connected piece of the mask is one region, grown from the voxel whose three forward edges cost least.
    regions: (x, y, z) int32 of an earlier growth; its voxels stay as they are and the others grow from them.
    """
    _check_volume("phase", phase, phase.shape, (np.float32,))
    if cost.shape != (3, *phase.shape) or cost.dtype != np.uint8:
        raise ValueError(f"cost is {cost.dtype} {cost.shape}, expected uint8 {(3, *phase.shape)}; see romeo_weights")
    resume = regions is not None
    regions = regions if resume else np.zeros(phase.shape, np.int32)
    _check_volume("regions", regions, phase.shape, (np.int32,))
    number = np.array(regions.max(initial=0) if resume else 0, np.int32)
    _, ny, nz = phase.shape
    api.launch(
        "grow",
        phase.size,
        {
            "phase": phase,
            "cost": api.contiguous("cost", cost),
            "mask": api.check_mask(mask, phase.shape),
            "region": regions,
            "n_regions": number,
        },
        {"n_voxel": phase.size, "stride_x": ny * nz, "stride_y": nz, "resume": resume},
        entry="romeo_grow",
        struct="RomeoGrowArgs",
    )
    return regions, int(number)


def romeo(
    echoes: Any,
    te_s: Any,
    mask: Any = None,
    magnitude: Any = None,
    *,
    template: int = 0,
    second: int = 1,
    bright: float | None = None,
    retry_below: float = 0.0,
    threads: int | None = None,
) -> Unwrapped:
    """Unwrap all echoes: one in space by region growing, the others from it in time. Host arrays only.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64, or float32 wrapped phase [rad]
        Without a phase offset at TE = 0 (as MCPC-3D-S leaves them), else the step in time is wrong.
    te_s : (echo,) [s]
    mask : (x, y, z) bool, optional
    magnitude : (x, y, z) float32, optional
        Of the template echo; taken from complex echoes when not given.
    template, second : echo that is unwrapped in space, and the one whose gradients must agree with it
    bright : as in `romeo_quality`
    retry_below : float
        After the step in time, voxels whose quality (of half the unwrapped phase) is below this are unwrapped again in
        space from the others; 0.5 helps in veins, 0 leaves the step out.

    Returns
    -------
    Unwrapped
        phase: float32 [rad], 0 outside the mask. A region's whole turns are those that fit both echoes best.
    """
    te = api.check_echoes(echoes, te_s, 1)
    is_complex = echoes.dtype == np.complex64
    out = phase(echoes, threads=threads) if is_complex else np.array(echoes, order="C")
    alone = te.size == 1
    if not 0 <= template < te.size or (not alone and (second == template or not 0 <= second < te.size)):
        raise ValueError(f"template {template} and second {second} must be two of the {te.size} echoes")
    first, other, te_ratio = out[template], None if alone else out[second], 1.0 if alone else te[template] / te[second]
    if magnitude is None and is_complex:
        magnitude = echoes[template]
    options = {"magnitude": magnitude, "bright": bright, "threads": threads}
    cost = romeo_weights(first, mask, second=other, te_ratio=te_ratio, **options)
    regions, number = romeo_grow(first, cost, mask)
    del cost
    _level(first, other, regions, number, 1 / te_ratio)
    _follow(out, te, template, mask, threads)
    if retry_below > 0:
        for e in range(te.size):
            if e != template:
                _retry(out[e], mask, retry_below, options)
    return Unwrapped(out, regions, number)


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
        np.subtract(echo, 2 * np.pi * np.rint(echo / (2 * np.pi)), out=half, casting="unsafe")
        romeo_grow(echo, romeo_weights(half, mask, **options), mask, regions=good.astype(np.int32))
