"""All tissue with signal: local threshold, opening, large pieces, closed and filled."""

from __future__ import annotations

from typing import Annotated

from ferritin.errors import InputError
from ferritin.mask._magnitude import background_sd, local_signal, rms_magnitude
from ferritin.mask._shape import close, fill_holes, opened
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
    pieces: Annotated[float, "1"] = 0.25,
) -> Mask:
    """Mask tissue by its signal.

    The root mean square of the echoes is compared with its own mean over the neighbourhood, so the receive profile does
    not matter. Opening cuts the bridges to the scalp that the dark skull leaves; large pieces are kept, closed over
    sulci, and its holes (voids, veins, haemorrhage) are filled.

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
    pieces : float [1]
        Share of the largest piece's size that another piece needs to stay: phantoms and organs in several parts.

    Returns
    -------
    Mask

    Raises
    ------
    InputError
        No voxel has signal.
    """
    magnitude = rms_magnitude(echoes)
    sd = background_sd(magnitude) if noise_sd is None else float(noise_sd)
    bright, _ = local_signal(
        magnitude, scan.voxel_mm, sd, threshold=threshold, neighbourhood_mm=neighbourhood_mm, snr=snr
    )
    if not bool(bright.any()):
        raise InputError(f"no voxel is above {snr * sd:.3g}, {snr:g} noise sd; give a mask with --mask")
    tissue = opened(bright, opening_mm, scan.voxel_mm, pieces)
    mask = fill_holes(close(tissue, closing_mm, scan.voxel_mm))
    return Mask(mask, Record())
