"""Coils that must not take part: without signal, with far more noise than the others, or with a phase of their own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.ops.smooth import CoarseGaussian

_SIGMA_MM = 6.0
_DEAD = 1.5
_NOISY = 2.0
_AGREEMENT = 0.7
_RAYLEIGH = math.sqrt(2 * math.log(2))  # median of |x + iy| of sd 1
_TINY = 1e-30


class Screening:
    """Looks at every coil while it is read for the first time, and keeps little of it.

    A coil is dead when its smoothed image is no stronger than smoothed noise; noisy when the noise between neighbouring
    voxels is more than twice the median coil's; broken when the phase that grows between its first two echoes does not
    follow that of the other coils. Coils weigh as they see: one that sees little cannot spoil the others' verdict.

    Parameters
    ----------
    voxel_mm : three floats [mm]
    """

    def __init__(self, voxel_mm: tuple[float, ...]):
        self._voxel_mm = voxel_mm
        self._grid = None
        self._growth: list[Any] = []
        self._noise: list[float] = []
        self._signal: list[float] = []

    def add(self, first: Any, second: Any = None) -> None:
        """Look at the next coil: its images of echoes 1 and, when there is one, 2."""
        if self._grid is None:
            self._grid = CoarseGaussian(namespace(first), first.shape, self._voxel_mm, _SIGMA_MM, step=1.6)
        low = self._grid.down(first)
        self._noise.append(_noise_sd(first))
        self._signal.append(float((abs(low) ** 2).mean()))
        if second is not None:
            self._growth.append(low.conj() * self._grid.down(second))

    def verdict(self) -> tuple[list[int], tuple[str, ...]]:
        """Numbers of the coils to keep, and a note on each that is left out. All stay when none would be left."""
        noise, signal = np.array(self._noise), np.array(self._signal)
        usual = float(np.median(noise[signal > 0])) if (signal > 0).any() else 0.0
        out: dict[int, str] = {}
        for coil in range(len(noise)):
            if signal[coil] <= 2 * (_DEAD * noise[coil] * self._grid.noise_gain) ** 2:
                out[coil] = "receives no signal"
            elif noise[coil] > _NOISY * usual:
                out[coil] = f"has {noise[coil] / max(usual, _TINY):.3g} times the noise of the median coil"
        out |= self._broken([c for c in range(len(noise)) if c not in out])
        kept = [c for c in range(len(noise)) if c not in out]
        notes = tuple(f"coil {coil} {why} and is left out" for coil, why in sorted(out.items()))
        if not kept:
            return list(range(len(noise))), ("every coil seems dead, noisy or broken; all are kept",)
        return kept, notes

    def _broken(self, coils: list[int]) -> dict[int, str]:
        """The coils whose phase grows otherwise, the worst first, each judged by the others that are left."""
        out: dict[int, str] = {}
        while self._growth and len(coils) > 2:
            total = sum(self._growth[c] for c in coils)
            found = {c: _agreement(self._growth[c], total - self._growth[c]) for c in coils}
            worst = min(found, key=found.get)
            if found[worst] >= _AGREEMENT:
                break
            out[worst] = f"has a phase of its own (agreement {found[worst]:.2f}, expected {_AGREEMENT:g} or more)"
            coils = [c for c in coils if c != worst]
        return out


def _agreement(growth: Any, others: Any) -> float:
    """1 where the phase grows as in the other coils, 0 for a random phase, -1 for the opposite one."""
    xp = namespace(growth)
    size = xp.abs(growth)
    aligned = (growth * others.conj()).real / xp.maximum(xp.abs(others), np.float32(_TINY))
    return float(aligned.sum(dtype=np.float64)) / max(float(size.sum(dtype=np.float64)), _TINY)


def _noise_sd(image: Any) -> float:
    """Noise sd of one real component, from second differences along the longest axis; edges do not move a median."""
    xp = namespace(image)
    axis = int(np.argmax(image.shape))
    before, here, after = ((slice(None),) * axis + (s,) for s in (slice(None, -2), slice(1, -1), slice(2, None)))
    if image.shape[axis] < 3:
        return 0.0
    bend = image[here] * np.float32(2)
    bend -= image[before]
    bend -= image[after]
    return float(xp.median(xp.abs(bend))) / (_RAYLEIGH * math.sqrt(6))
