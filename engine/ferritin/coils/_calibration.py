"""Low-resolution coil images that fit in memory together, for methods that look at all coils at once."""

from __future__ import annotations

from typing import Any

from ferritin.backend import namespace
from ferritin.coils._combination import Combination
from ferritin.coils._screening import Screening
from ferritin.errors import InputError
from ferritin.ops.smooth import CoarseGaussian
from ferritin.stages import Echoes, Record


class Calibration:
    """All sound coils of the first echo on a coarse grid, and the way back to a full combination.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64
        Whitened; echoes 1 and 2 are read once here, all echoes once in `combine`.
    voxel_mm : three floats [mm]
    resolution_mm : float [mm]
        Standard deviation of the Gaussian; the coarse grid has 1.6 of it per voxel, so that all coils stay small.
    progress : callable (done, total), optional
    each : callable (image), optional
        Called with every coil's first echo in turn, the coils that will be left out too; see `kept`.

    Attributes
    ----------
    images : (coil, *coarse) complex64
        Of the coils that are kept.
    voxel_mm : three floats [mm]
        Of the coarse grid.
    notes : tuple of str
        The coils that are left out, and why.
    """

    def __init__(self, coil_images: Any, voxel_mm: Any, resolution_mm: float, progress: Any = None, each: Any = None):
        self._coil_images, self._progress = coil_images, progress
        n_coils, n_echoes, *shape = coil_images.shape
        self._done, self._total = 0, n_coils * (min(n_echoes, 2) + n_echoes)
        screening, low = Screening(voxel_mm), []
        for coil in range(n_coils):
            first = self._read(coil, 0)
            if coil == 0:
                xp = namespace(first)
                self._grid = CoarseGaussian(xp, tuple(shape), voxel_mm, resolution_mm, step=1.6)
            low.append(self._grid.down(first))
            if each is not None:
                each(first)
            screening.add(first, self._read(coil, 1) if n_echoes > 1 else None)
        self._coils, self.notes = screening.verdict()
        self.images = xp.stack([low[coil] for coil in self._coils])
        if not bool(abs(self.images).max() > 0):
            raise InputError("the coil images of the calibration echo are all zero; expected signal")
        self.voxel_mm = tuple(
            v * max(n - 1, 1) / max(m - 1, 1) for v, n, m in zip(voxel_mm, shape, self.images.shape[1:])
        )

    def kept(self, of_all: list[Any]) -> Any:
        """The entries that belong to the kept coils, stacked."""
        return namespace(self.images).stack([of_all[coil] for coil in self._coils])

    def compression(self, n: int) -> Any:
        """The n combinations of coils that hold most of the signal, (coil, n) complex64 with orthonormal columns.

        The principal components of Buehrer et al., MRM 2007;57:1131. Combination i of the images is the sum over coils
        of conj(compression[coil, i]) times the coil's image.
        """
        xp = namespace(self.images)
        flat = self.images.reshape(len(self.images), -1)
        _, vectors = xp.linalg.eigh(flat @ flat.conj().T)
        return xp.ascontiguousarray(vectors[:, ::-1][:, :n])

    def smoother(self, sigma_mm: float) -> CoarseGaussian:
        """A Gaussian filter on the coarse grid."""
        return CoarseGaussian(namespace(self.images), self.images.shape[1:], self.voxel_mm, sigma_mm)

    def combine(self, weights: Any, record: Record | None = None) -> Echoes:
        """Echoes combined with coarse weights (coil, *coarse) that are common to all echoes; noise sd 1."""
        combination = None
        for coil, coarse in zip(self._coils, weights):
            weight = self._grid.up(coarse)
            if combination is None:
                combination = Combination(self._coil_images, weight)
            combination.add(weight, lambda echo: self._read(coil, echo))  # noqa: B023
        if self._progress is not None:
            self._progress(self._total, self._total)
        return combination.finished(self.notes, record)

    def _read(self, coil: int, echo: int) -> Any:
        self._tell()
        return self._coil_images[coil, echo]

    def _tell(self) -> None:
        self._done += 1
        if self._progress is not None and self._done < self._total:
            self._progress(self._done, self._total)
