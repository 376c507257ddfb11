"""Roemer's combination: the sum of coils weighted with their sensitivities, given or estimated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.coils._calibration import Calibration
from ferritin.coils._combination import Combination
from ferritin.errors import FormatError, ShapeError
from ferritin.registry import method
from ferritin.stages import Echoes


@method("coils", source="Roemer et al., MRM 1990;16:192, eq. 32")
def roemer(
    coil_images,
    scan,
    *,
    sensitivities: Annotated[str | None, "file"] = None,
    smoothing_mm: Annotated[float, "mm"] = 4.0,
    progress=None,
) -> Echoes:
    """Combine coils with sensitivities from a file, or with the smoothed first echo in their place.

    With sensitivities of whitened coils the signal-to-noise ratio is the best there is, and the combined phase is the
    object's. A smoothed image is the sensitivity times the smoothed object, whose phase goes into the weights: the
    combined phase is then that which grows after the first echo, and small details of the first.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64 [noise sd]
        Whitened; only indexed as coil_images[c, e].
    scan : Scan
        One echo or more.
    sensitivities : file, optional
        A .npy file with (coil, x, y, z) complex, whitened as the images; zero coils have no say.
    smoothing_mm : float [mm]
        Standard deviation of the Gaussian when there is no file.

    Returns
    -------
    Echoes
        Complex echoes whose noise sd is 1 in every voxel.

    Raises
    ------
    FormatError, ShapeError
        The file cannot be read, or is not of the scan's coils and grid.
    """
    if sensitivities is None:
        calibration = Calibration(coil_images, scan.voxel_mm, smoothing_mm, progress=progress)
        return calibration.combine(calibration.images)
    maps = _load(Path(sensitivities), (coil_images.shape[0], *coil_images.shape[2:]))
    combination = None
    for coil in range(len(maps)):
        first = coil_images[coil, 0]
        weight = namespace(first).asarray(np.ascontiguousarray(maps[coil], np.complex64))
        combination = combination or Combination(coil_images, weight)
        combination.add(weight, lambda echo: first if echo == 0 else coil_images[coil, echo])  # noqa: B023
        if progress is not None:
            progress(coil + 1, len(maps))
    return combination.finished()


def _load(path: Path, expected: tuple[int, ...]) -> Any:
    """The file's array, read coil by coil as it is indexed."""
    try:
        maps = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as why:
        raise FormatError(f"{path}: not a .npy file of sensitivities ({why}); write it with numpy.save") from None
    if not isinstance(maps, np.ndarray):
        raise FormatError(f"{path} is an archive of {maps.files[:4]}, expected one array; write it with numpy.save")
    if maps.shape != expected or maps.dtype.kind != "c":
        raise ShapeError(f"{path}: {maps.dtype} {maps.shape}, expected complex (coil, x, y, z) = {expected}")
    return maps
