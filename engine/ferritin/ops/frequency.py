"""Frequencies of the half spectrum of a real FFT, in cycles per mm."""

from __future__ import annotations

from typing import Any

import numpy as np


def frequencies(xp: Any, shape: tuple[int, int, int], voxel_mm: tuple[float, float, float]) -> list[Any]:
    """Frequency axes [cycles/mm] of `rfftn` over `shape`, float32, ready to be broadcast against each other."""
    axes = []
    for axis, (n, v) in enumerate(zip(shape, voxel_mm)):
        index = xp.arange(n // 2 + 1 if axis == 2 else n, dtype=np.float32)
        if axis < 2:
            index = xp.where(index >= (n + 1) // 2, index - n, index)
        axes.append((index / np.float32(n * v)).reshape([-1 if a == axis else 1 for a in range(3)]))
    return axes


def without_nyquist(xp: Any, axes: list[Any], shape: tuple[int, int, int]) -> list[Any]:
    """The frequency axes with the Nyquist sample of even lengths set to 0.

    That sample stands for +k and -k at once, so what is odd in k must vanish there.
    """
    out = []
    for k, n in zip(axes, shape):
        k = k.copy()
        if n % 2 == 0:
            k.reshape(-1)[n // 2] = 0
        out.append(k)
    return out
