"""The sum over coils that every combination ends with: Σ conj(weight) · image, with the noise kept at one sd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.coils import _singularities
from ferritin.stages import Echoes, Record


class Combination:
    """Accumulates coils one at a time, so that memory does not depend on their number.

    Weights are the same for all echoes. The result is divided by sqrt(Σ|weight|²): whitened coils of noise sd 1 give
    echoes of noise sd 1 in every voxel, with one Gaussian component each for the real and the imaginary part.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64 [noise sd]
        Gives the number of echoes, and its noise_sd: 1 when it has none, as whitened images do, None when unknown.
    like : (x, y, z) complex64
        Gives shape and device.
    """

    def __init__(self, coil_images: Any, like: Any):
        xp = namespace(like)
        self._noise_sd = getattr(coil_images, "noise_sd", 1.0)
        self._echoes = xp.zeros((coil_images.shape[1], *like.shape), np.complex64)
        self._norm2 = xp.zeros(like.shape, np.float32)

    def add(self, weight: Any, image_of: Callable[[int], Any]) -> None:
        """Add one coil: weight (x, y, z) complex64, consumed; image_of(echo) its image."""
        self._norm2 += weight.real**2
        self._norm2 += weight.imag**2
        weight = weight.conj()
        for echo in range(len(self._echoes)):
            self._echoes[echo] += weight * image_of(echo)

    def result(self) -> Any:
        """Echoes (echo, x, y, z) complex64; zero where no coil has weight."""
        xp = namespace(self._norm2)
        scale = xp.sqrt(self._norm2)
        scale = xp.where(scale > 0, 1 / xp.maximum(scale, np.float32(1e-30)), np.float32(0))
        for echo in self._echoes:
            echo *= scale
        return self._echoes

    def finished(self, notes: tuple[str, ...] = (), record: Record | None = None) -> Echoes:
        """The stage's result; the record tells of coils left out and of singularities of the combined phase."""
        record = record or Record()
        echoes = self.result()
        notes = (*record.notes, *notes, _singularities.note(echoes, self._noise_sd or 1.0))  # about 1 where unknown
        return Echoes(echoes, self._noise_sd, replace(record, notes=notes))
