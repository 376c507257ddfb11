"""The tissue with signal around the head's centre: local threshold, opening, largest piece, closed and filled."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import InputError
from ferritin.mask._magnitude import background_sd, rms_magnitude
from ferritin.mask._shape import close, fill_holes, opened
from ferritin.ops.smooth import CoarseGaussian
from ferritin.registry import method
from ferritin.stages import Mask, Record


@method("mask", source="local threshold and morphology; noise level after the robust mask of MriResearchTools.jl")
def signal(
    echoes,
    scan,
    noise_sd=None,
    *,
    threshold: Annotated[float, "1"] = 0.4,
    neighbourhood_mm: Annotated[float, "mm"] = 20.0,
    opening_mm: Annotated[float, "mm"] = 4.0,
    closing_mm: Annotated[float, "mm"] = 4.0,
    snr: Annotated[float, "1"] = 3.0,
) -> Mask:
    """Mask the brain by its signal.

    The root mean square of the echoes is compared with its own mean over the neighbourhood, so the receive profile does
    not matter. Opening cuts the bridges to the scalp that the dark skull leaves; the largest piece is kept, closed
    over sulci, and its holes (voids, veins, haemorrhage) are filled.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    scan : Scan
    noise_sd : float, optional
        Of the real and of the imaginary part; estimated from the darkest voxels when not given.
    threshold : float [1]
        Share of the local mean that counts as signal.
    neighbourhood_mm : float [mm]
        Standard deviation of the Gaussian of the local mean.
    opening_mm, closing_mm : float [mm]
        Radii of the balls.
    snr : float [1]
        Least signal, in noise standard deviations.

    Returns
    -------
    Mask

    Raises
    ------
    InputError
        No voxel has signal.
    """
    xp = namespace(echoes)
    magnitude = rms_magnitude(echoes)
    sd = background_sd(magnitude) if noise_sd is None else float(noise_sd)
    floor = np.float32(snr * sd)
    smooth = CoarseGaussian(xp, magnitude.shape, scan.voxel_mm, neighbourhood_mm)
    bright = magnitude > max(np.float32(5 * sd), floor)
    for _ in range(2):  # the first local mean still holds noise beside the head
        share = xp.maximum(smooth(bright.astype(np.float32)), np.float32(0.02))
        local = smooth(magnitude * bright) / share
        bright = magnitude > xp.maximum(np.float32(threshold) * local, floor)
    if not bool(bright.any()):
        raise InputError(f"no voxel is above {float(floor):.3g}, {snr:g} noise sd; give a mask with --mask")
    brain = opened(bright, scan.voxel_mm, opening_mm)
    mask = fill_holes(close(brain, scan.voxel_mm, closing_mm))
    return Mask(mask, Record())
