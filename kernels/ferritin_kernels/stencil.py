"""Finite differences and neighbourhood means: the contracts of stencil.cuh and mean.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin_kernels import api

Triple = tuple[float, float, float]
_STENCILS = {"gradient": 0, "divergence": 1, "laplacian": 2}


def gradient(
    x: Any, step: Triple = (1.0, 1.0, 1.0), *, periodic: bool = True, backward: bool = False, **more: Any
) -> Any:
    """Differences along each axis over its step: (x, y, z) float32 to (3, x, y, z).

    Forward, x[i+1] - x[i], or backward, x[i] - x[i-1]. At the end of the volume the neighbour is the one at the other
    end, or, when not periodic, the difference is 0. out: an array to write into; threads: CPU threads.
    """
    return _stencil("gradient", x, (3, *x.shape), step, periodic, backward, **more)


def divergence(
    g: Any, step: Triple = (1.0, 1.0, 1.0), *, periodic: bool = True, backward: bool = False, **more: Any
) -> Any:
    """Minus the adjoint of `gradient` with the same arguments: (3, x, y, z) float32 to (x, y, z)."""
    return _stencil("divergence", g, g.shape[1:], step, periodic, backward, **more)


def laplacian(x: Any, step: Triple = (1.0, 1.0, 1.0), *, periodic: bool = True, **more: Any) -> Any:
    """divergence(gradient(x)), the seven-point stencil: (x, y, z) float32 to the same."""
    return _stencil("laplacian", x, x.shape, step, periodic, False, **more)


def _stencil(
    name: str,
    x: Any,
    shape: tuple[int, ...],
    step: Triple,
    periodic: bool,
    backward: bool,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    lead = (3,) if name == "divergence" else ()
    if x.dtype != np.float32 or x.ndim != 3 + len(lead) or tuple(x.shape[:-3]) != lead:
        raise ValueError(
            f"{name} of {x.dtype} {tuple(x.shape)}; expected float32 (x, y, z), for a divergence (3, x, y, z)"
        )
    out = api.namespace(x).empty(shape, np.float32) if out is None else out
    if tuple(out.shape) != tuple(shape) or out.dtype != np.float32:
        raise ValueError(f"out is {out.dtype} {tuple(out.shape)}, expected float32 {tuple(shape)}")
    nx, ny, nz = shape[-3:]
    api.launch(
        "stencil",
        nx * ny * nz,
        {"in": api.contiguous("array", x), "out": api.contiguous("out", out)},
        {
            "n_voxel": nx * ny * nz,
            "nx": nx,
            "ny": ny,
            "nz": nz,
            "stencil": _STENCILS[name],
            "periodic": periodic,
            "backward": backward,
            **{f"per_{axis}": 1 / s for axis, s in zip("xyz", step)},
        },
        defines={"FERRITIN_STENCIL": _STENCILS[name]},
        threads=threads,
    )
    return out


def ball_mean(x: Any, radius_mm: float, voxel_mm: Triple = (1.0, 1.0, 1.0), *, threads: int | None = None) -> Any:
    """Mean over all voxels whose centre lies within the radius, (x, y, z) float32; zero outside the volume.

    As `ops.smv.ball_spectrum`, without FFT. The cost grows with the ball's cross-section: on a CPU half an FFT pair at
    two voxels of radius, one at four.
    """
    reach = [int(radius_mm * (1 + 1e-5) / v) for v in voxel_mm]
    u, v = np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    left = (radius_mm * (1 + 1e-5)) ** 2 - (u * voxel_mm[0]) ** 2 - (v * voxel_mm[1]) ** 2
    inside = left >= 0
    half = (np.sqrt(left[inside]) / voxel_mm[2]).astype(int)
    return _mean(x, np.stack([u[inside], v[inside], half], axis=1), threads)


def box_mean(x: Any, radius: tuple[int, int, int], *, threads: int | None = None) -> Any:
    """Mean over a box of 2·radius + 1 voxels along each axis, (x, y, z) float32; zero outside the volume."""
    u, v = np.mgrid[-radius[0] : radius[0] + 1, -radius[1] : radius[1] + 1]
    return _mean(x, np.stack([u.ravel(), v.ravel(), np.full(u.size, radius[2])], axis=1), threads)


def _mean(x: Any, runs: np.ndarray, threads: int | None) -> Any:
    if x.dtype != np.float32 or x.ndim != 3:
        raise ValueError(f"mean of {x.dtype} {tuple(x.shape)}; expected float32 (x, y, z)")
    xp, (nx, ny, nz) = api.namespace(x), x.shape
    sums = xp.zeros((nx, ny, nz + 1), np.float32)
    sums[..., 1:] = xp.cumsum(x, axis=2)
    out = xp.empty(x.shape, np.float32)
    api.launch(
        "mean",
        out.size,
        {"sums": sums, "out": out, "runs": xp.asarray(runs.astype(np.int32))},
        {
            "n_voxel": out.size,
            "nx": nx,
            "ny": ny,
            "nz": nz,
            "n_runs": len(runs),
            "scale": 1 / np.sum(2 * runs[:, 2] + 1),
        },
        threads=threads,
    )
    return out
