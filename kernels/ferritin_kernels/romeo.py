"""ROMEO's edge weights, voxel quality and region growing on one volume: the contracts of romeo.cuh and grow.hpp.

Dymerska B, et al. Phase unwrapping with a rapid opensource minimum spanning tree algorithm (ROMEO). MRM 2021;85:2294.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin_kernels import api


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
    linear : bool
        Judge how straight the phase runs across the edge's two ends too.
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
    linear: bool = True,
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
            "linear": linear,
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
