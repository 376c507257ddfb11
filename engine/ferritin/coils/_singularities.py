"""Points around which a phase turns by 2π: ends of fringe lines that no unwrapping can close."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ferritin.backend import namespace

_TURN = np.float32(1 / (2 * math.pi))
_SLAB = 16


def count(image: Any, least: float) -> tuple[int, int]:
    """Loops of four voxels whose wrapped phase steps do not sum to zero, and how many loops were looked at.

    Parameters
    ----------
    image : (x, y, z) complex64
    least : float
        Only loops whose four voxels have at least this magnitude count: in noise every phase is singular.
    """
    singular = loops = 0
    for x in range(0, image.shape[0], _SLAB):
        part = image[x : x + _SLAB + 1]
        xp = namespace(part)
        phase, bright = xp.angle(part), xp.abs(part) >= np.float32(least)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            last = part.shape[0] if 0 in (a, b) else min(_SLAB, part.shape[0])  # the overlap belongs to the next slab
            turns, good = _around(xp, phase[:last], bright[:last], a, b)
            loops += int(good.sum())
            singular += int((xp.rint(turns[good]) != 0).sum())
    return singular, loops


def _around(xp: Any, phase: Any, bright: Any, a: int, b: int) -> tuple[Any, Any]:
    """Sum of the wrapped steps around every loop in the plane of axes a and b, in turns; and where all is bright."""
    low, high = slice(None, -1), slice(1, None)
    corners = [
        tuple({a: s, b: t}.get(i, slice(None)) for i in range(3))
        for s, t in ((low, low), (high, low), (high, high), (low, high))
    ]
    total, good = 0, True
    for here, there in zip(corners, corners[1:] + corners[:1]):
        step = (phase[there] - phase[here]) * _TURN
        step -= xp.rint(step)
        total = total + step
        good = good & bright[here]
    return total, good


def note(echoes: Any, noise_sd: float) -> str:
    """What to tell of combined echoes: singular loops in echo 1 where its signal is ten times the noise."""
    singular, loops = count(echoes[0], 10 * noise_sd)
    said = f"{singular} of {loops} loops of four voxels with signal have a phase singularity"
    if singular == 0 or len(echoes) < 2:
        return said
    growth = echoes[1] * echoes[0].conj()
    shared, _ = count(growth, (10 * noise_sd) ** 2)
    return f"{said}; {shared} have one in the growth from echo 1 to 2, which no coil phase touches"
