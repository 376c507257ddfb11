"""Meaning of stencil.cuh and mean.cuh, in numpy and scipy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def gradient(x: np.ndarray, step: tuple[float, ...], periodic: bool, backward: bool) -> np.ndarray:
    """Differences along each axis over its step."""
    out = []
    for axis, s in enumerate(step):
        forward = np.roll(x, -1, axis) - x
        if not periodic:
            np.moveaxis(forward, axis, 0)[-1] = 0
        out.append((np.roll(forward, 1, axis) if backward else forward) / s)
    return np.array(out)


def ball_mean(x: np.ndarray, radius_mm: float, voxel_mm: tuple[float, ...]) -> np.ndarray:
    """Convolution with all voxel centres within the radius."""
    reach = [int(radius_mm / v + 1e-4) for v in voxel_mm]
    index = np.meshgrid(*(np.arange(-r, r + 1) * v for r, v in zip(reach, voxel_mm)), indexing="ij")
    ball = (sum(i**2 for i in index) <= radius_mm**2 * (1 + 1e-5)).astype(float)
    return ndimage.convolve(x, ball / ball.sum(), mode="constant")


def box_mean(x: np.ndarray, radius: tuple[int, ...]) -> np.ndarray:
    """Convolution with a box."""
    return ndimage.uniform_filter(x, [2 * r + 1 for r in radius], mode="constant")
