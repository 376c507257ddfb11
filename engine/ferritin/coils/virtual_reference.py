"""Virtual reference coil: every coil is turned to the phase of the one combination of coils that sees most."""

from __future__ import annotations

from typing import Annotated

from ferritin.backend import namespace
from ferritin.coils._calibration import Calibration
from ferritin.registry import method
from ferritin.stages import Echoes


@method("coils", source="Parker et al., MRM 2014;72:563; reference by SVD: Buehrer et al., MRM 2007;57:1131")
def virtual_reference(
    coil_images,
    scan,
    *,
    smoothing_mm: Annotated[float, "mm"] = 6.0,
    resolution_mm: Annotated[float, "mm"] = 3.0,
    progress=None,
) -> Echoes:
    """Combine coils relative to their principal component over the head.

    The principal component of the smoothed first echo is a virtual coil that sees the whole head. What a coil's phase
    has beyond the virtual coil's is smooth; the coil's weight is its smoothed product with the virtual coil. The
    combined phase is the virtual coil's, the same for all echoes; it is smooth unless the virtual coil has a null in
    the head, which the record's count of singularities shows.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64 [noise sd]
        Whitened; only indexed as coil_images[c, e].
    scan : Scan
        One echo or more.
    smoothing_mm, resolution_mm : float [mm]
        Standard deviations of the Gaussians for the weights and for the calibration images.

    Returns
    -------
    Echoes
        Complex echoes whose noise sd is 1 in every voxel.
    """
    calibration = Calibration(coil_images, scan.voxel_mm, resolution_mm, progress=progress)
    xp = namespace(calibration.images)
    reference = xp.tensordot(calibration.compression(1)[:, 0].conj(), calibration.images, 1)
    reference /= xp.sqrt(xp.abs(reference)) + 1e-30  # bright fat must not outweigh its neighbourhood
    smooth = calibration.smoother(smoothing_mm)
    return calibration.combine(smooth(image * reference.conj()) for image in calibration.images)
