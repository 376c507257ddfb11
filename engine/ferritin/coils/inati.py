"""Inati's iterative combination: sensitivities and image determine each other; one echo is enough."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from ferritin.backend import namespace
from ferritin.coils._calibration import Calibration
from ferritin.errors import ParameterError
from ferritin.registry import method
from ferritin.stages import Echoes, Record

_TINY = np.float32(1e-30)


@method("coils", source="Inati, Hansen & Kellman, ISMRM 2014 #4407; Roemer et al., MRM 1990;16:192, eq. 32")
def inati(
    coil_images,
    scan,
    *,
    smoothing_mm: Annotated[float, "mm"] = 6.0,
    resolution_mm: Annotated[float, "mm"] = 3.0,
    n_iterations: Annotated[int, ""] = 10,
    tolerance: Annotated[float, "1"] = 1e-3,
    progress=None,
) -> Echoes:
    """Combine coils with sensitivities found from low-resolution images of the first echo.

    Starting from the coils' mean values, sensitivities are the smoothed product of each coil with the combined image,
    normalised over the coils, and the combined image follows from them, until it stands still.
    The phase that all coils share goes into the image; it is smooth except where the first sum of coils vanishes, and
    the same for all echoes.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64 [noise sd]
        Whitened; only indexed as coil_images[c, e]. Echoes 1 and 2 are read twice, others once.
    scan : Scan
        One echo or more.
    smoothing_mm, resolution_mm : float [mm]
        Standard deviations of the Gaussians for the sensitivities and for the calibration images.

    Returns
    -------
    Echoes
        Complex echoes whose noise sd is 1 in every voxel.

    Raises
    ------
    InputError
        No signal in the first echo.
    """
    if n_iterations < 1:
        raise ParameterError(f"coils.n_iterations = {n_iterations}, expected 1 or more; the default is 10")
    calibration = Calibration(coil_images, scan.voxel_mm, resolution_mm, progress=progress)
    images = calibration.images
    xp = namespace(images)
    smooth = calibration.smoother(smoothing_mm)
    # The mean over space favours coils that see much, each with its own phase turned to zero.
    mean = images.mean(axis=(1, 2, 3))
    mean /= xp.sqrt((xp.abs(mean) ** 2).sum()) + _TINY
    combined = xp.einsum("c,cxyz->xyz", mean.conj(), images)
    weights = xp.empty_like(images)
    for iteration in range(1, n_iterations + 1):
        for weight, image in zip(weights, images):
            weight[...] = smooth(image * combined.conj())
        weights /= xp.sqrt((xp.abs(weights) ** 2).sum(0)) + _TINY
        before, combined = combined, xp.einsum("cxyz,cxyz->xyz", weights.conj(), images)
        turn = xp.vdot(combined, before)  # a phase common to the whole image is arbitrary: hold it
        combined *= turn / (xp.abs(turn) + _TINY)
        change = float(xp.linalg.norm((combined - before).ravel()) / xp.linalg.norm(combined.ravel()))
        still = change < tolerance
        record = Record(iteration, change, "tolerance" if still else "iterations")
        if still:
            break
    return calibration.combine(weights, record)
