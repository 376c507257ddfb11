"""Low-resolution coil images that fit in memory together, for methods that look at all coils at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.coils._combination import Combination
from ferritin.errors import InputError
from ferritin.ops.smooth import CoarseGaussian


class Calibration:
    """All coils of one echo on a coarse grid, and the way back to a full combination.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64
        Whitened; read once per coil here and once per coil and echo in `combine`.
    voxel_mm : three floats [mm]
    resolution_mm : float [mm]
        Standard deviation of the Gaussian; the coarse grid has 1.6 of it per voxel, so that all coils stay small.
    echo : int
        The echo to calibrate on.
    progress : callable (done, total), optional

    Attributes
    ----------
    images : (coil, *coarse) complex64
    voxel_mm : three floats [mm]
        Of the coarse grid.
    """

    def __init__(self, coil_images: Any, voxel_mm: Any, resolution_mm: float, echo: int = 0, progress: Any = None):
        self._coil_images, self._progress = coil_images, progress
        shape = tuple(coil_images.shape[2:])
        self._done, self._total = 0, coil_images.shape[0] * (1 + coil_images.shape[1])
        self._grid = None
        for coil in range(coil_images.shape[0]):
            image = coil_images[coil, echo]
            if self._grid is None:
                xp = namespace(image)
                self._grid = CoarseGaussian(xp, shape, voxel_mm, resolution_mm, step=1.6)
                self.images = xp.empty((coil_images.shape[0], *self._grid.coarse_shape), np.complex64)
            self.images[coil] = self._grid.down(image)
            self._tell()
        if not bool(abs(self.images).max() > 0):
            raise InputError("the coil images of the calibration echo are all zero; expected signal")
        self.voxel_mm = tuple(
            v * max(n - 1, 1) / max(m - 1, 1) for v, n, m in zip(voxel_mm, shape, self.images.shape[1:])
        )

    def smoother(self, sigma_mm: float) -> CoarseGaussian:
        """A Gaussian filter on the coarse grid."""
        return CoarseGaussian(namespace(self.images), self.images.shape[1:], self.voxel_mm, sigma_mm)

    def combine(self, weights: Any) -> Any:
        """Echoes combined with coarse weights (coil, *coarse) that are common to all echoes; noise sd 1."""
        n_coils, n_echoes = self._coil_images.shape[:2]
        combination = None
        for coil in range(n_coils):
            weight = self._grid.up(weights[coil])
            if combination is None:
                combination = Combination(n_echoes, weight)
            combination.add(weight, lambda echo: self._read(coil, echo))  # noqa: B023
        return combination.result()

    def _read(self, coil: int, echo: int) -> Any:
        self._tell()
        return self._coil_images[coil, echo]

    def _tell(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)
