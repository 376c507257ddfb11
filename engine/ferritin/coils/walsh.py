"""Walsh's adaptive combination: the dominant eigenvector of the coils' local covariance."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from ferritin.backend import namespace
from ferritin.coils._calibration import Calibration
from ferritin.coils._eigenvector import dominant, expanded
from ferritin.errors import ParameterError
from ferritin.registry import method
from ferritin.stages import Echoes


@method("coils", source="Walsh, Gmitro & Marcellin, MRM 2000;43:682, eq. 8; coils compressed first")
def walsh(
    coil_images,
    scan,
    *,
    smoothing_mm: Annotated[float, "mm"] = 5.0,
    resolution_mm: Annotated[float, "mm"] = 3.0,
    n_virtual: Annotated[int, ""] = 12,
    n_iterations: Annotated[int, ""] = 8,
    progress=None,
) -> Echoes:
    """Combine coils with the matched filter of each neighbourhood.

    The covariance of the coils, averaged over a neighbourhood of the smoothed first echo, has one dominant eigenvector:
    the sensitivities, up to a phase. Power iterations find it from the virtual coil that sees most. The phase is chosen
    so that this virtual coil has none: the combined phase is the object's plus that coil's, smooth unless it has a null
    in the head, and the same for all echoes. Coils are first compressed, so that memory does not grow with them.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64 [noise sd]
        Whitened; only indexed as coil_images[c, e].
    scan : Scan
        One echo or more.
    smoothing_mm, resolution_mm : float [mm]
        Standard deviations of the Gaussians that average the covariance and make the calibration images.
    n_virtual : int
        Virtual coils, at most.
    n_iterations : int
        Power iterations.

    Returns
    -------
    Echoes
        Complex echoes whose noise sd is 1 in every voxel.
    """
    if n_virtual < 1 or n_iterations < 1:
        raise ParameterError(f"coils.n_virtual = {n_virtual}, n_iterations = {n_iterations}; expected 1 or more")
    calibration = Calibration(coil_images, scan.voxel_mm, resolution_mm, progress=progress)
    xp = namespace(calibration.images)
    compression = calibration.compression(n_virtual)
    virtual = xp.tensordot(compression.conj().T, calibration.images, 1)
    smooth = calibration.smoother(smoothing_mm)
    n = len(virtual)
    covariance = xp.empty((n, n, *virtual.shape[1:]), np.complex64)
    for a in range(n):
        for b in range(a + 1):
            covariance[a, b] = smooth(virtual[a] * virtual[b].conj())
            covariance[b, a] = covariance[a, b].conj()
    maps, _ = dominant(covariance, n_iterations)
    return calibration.combine(expanded(maps, compression))
