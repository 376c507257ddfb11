"""Meaning of dephasing.cuh: the loss as a sum of spins over a profile; the field's difference across a voxel."""

from __future__ import annotations

import numpy as np


def profile(name: str, z: np.ndarray, time_bandwidth: float = 4.0) -> np.ndarray:
    """Density of spins at z, in voxels from the centre."""
    if name == "box":
        return (abs(z) <= 0.5).astype(float)
    if name == "gaussian":
        return np.exp(-4 * np.log(2) * z**2)
    # A pulse sinc(t) in a Hann window of the length time_bandwidth, t in units of 1/bandwidth; small angles.
    t = np.linspace(-time_bandwidth / 2, time_bandwidth / 2, 2001)
    pulse = np.sinc(t) * (0.5 + 0.5 * np.cos(2 * np.pi * t / time_bandwidth))
    return np.cos(2 * np.pi * z[:, None] * t) @ pulse


def factor(name: str, x: np.ndarray, time_bandwidth: float = 4.0) -> np.ndarray:
    """Signal that is left when the field differs by x/TE across the voxel: a sum over spins."""
    z = np.linspace(-0.5, 0.5, 2001) if name == "box" else np.linspace(-6, 6, 4001)
    p = profile(name, z, time_bandwidth)
    p[[0, -1]] /= 2
    return abs(np.exp(2j * np.pi * np.multiply.outer(x, z)) @ p) / p.sum()


def difference(field: np.ndarray, mask: np.ndarray, axis: int) -> np.ndarray:
    """Field across each voxel [Hz]: central in the mask, one-sided at its edge, 0 where a voxel is alone."""
    f, m = (np.moveaxis(a, axis, 0) for a in (np.asarray(field, float), mask))
    out = np.zeros_like(f)
    for i in range(len(f)):
        low = max(i - 1, 0), min(i + 1, len(f) - 1)
        has_low, has_high = m[low[0]] & (i > 0), m[low[1]] & (i + 1 < len(f))
        difference = np.where(has_high, f[low[1]], f[i]) - np.where(has_low, f[low[0]], f[i])
        out[i] = np.where(has_low & has_high, difference / 2, difference)
    return np.moveaxis(out, 0, axis)
