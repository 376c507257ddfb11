"""One magnitude image from all echoes, and its noise level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.ops.smooth import CoarseGaussian


def rms_magnitude(echoes: Any) -> Any:
    """Root mean square over the echoes, (x, y, z) float32; NaN counts as no signal."""
    xp = namespace(echoes)
    power = xp.zeros(echoes.shape[1:], np.float32)
    for echo in echoes:
        power += echo.real**2
        power += echo.imag**2
    power /= np.float32(len(echoes))
    xp.nan_to_num(power, copy=False, nan=0, posinf=0)
    return xp.sqrt(power, out=power)


def background_sd(magnitude: Any) -> float:
    """Noise sd of one real component from the darkest voxels of an rms magnitude; 0 where there is no background.

    The darkest 15 % (5 % when these are not dark) of the voxels with signal are taken for background, where the root
    mean square of complex noise is sqrt(2) sd.
    """
    xp = namespace(magnitude)
    some = magnitude.ravel()[:: max(1, magnitude.size // 2_000_000)]
    q = [float(v) for v in xp.percentile(some, xp.asarray([5.0, 15.0, 80.0, 99.0]))]
    high = float(some[(some >= q[2]) & (some <= q[3])].mean())
    for edge in (q[1], q[0]):
        dark = float(some[some <= edge].mean())
        if dark <= 0.1 * high:
            return dark / math.sqrt(2)
    return 0.0


def local_signal(
    magnitude: Any,
    voxel_mm: tuple[float, ...],
    sd: float,
    *,
    threshold: float = 0.4,
    neighbourhood_mm: float = 20.0,
    snr: float = 3.0,
) -> tuple[Any, Any]:
    """Where there is signal, and the mean of the signal around: what the receive profile makes of it.

    Parameters
    ----------
    magnitude : (x, y, z) float32
    sd : noise sd of one real component, as magnitude
    threshold : share of the local mean that counts as signal
    neighbourhood_mm : standard deviation of the Gaussian of the local mean [mm]
    snr : least signal, in noise standard deviations

    Returns
    -------
    bright : (x, y, z) bool
    local : (x, y, z) float32, as magnitude
    """
    xp = namespace(magnitude)
    floor = np.float32(snr * sd)
    smooth = CoarseGaussian(xp, magnitude.shape, voxel_mm, neighbourhood_mm)
    bright = magnitude > max(np.float32(5 * sd), floor)
    for _ in range(2):  # the first local mean still holds noise beside the head
        share = xp.maximum(smooth(bright.astype(np.float32)), np.float32(0.02))
        local = smooth(magnitude * bright) / share
        bright = magnitude > xp.maximum(np.float32(threshold) * local, floor)
    return bright, local
