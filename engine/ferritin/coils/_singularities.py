"""Points around which a phase turns by 2π: ends of fringe lines that no unwrapping can close."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ferritin.backend import namespace

_TURN = np.float32(1 / (2 * math.pi))
_SLAB = 16


def count(image: Any, least: float, growth: Any = None) -> tuple[int, int]:
    """Loops of four voxels whose wrapped phase steps do not sum to zero, and how many loops were looked at.

    Parameters
    ----------
    image : (x, y, z) complex64
    least : float
        Only loops whose four voxels have at least this magnitude count: in noise every phase is singular.
    growth : (x, y, z) complex64, optional
        conj(image) times another echo, which must have the magnitude, too. The growth's phase must be calm around a
        loop, no step above a quarter turn: what is singular there, the field is not to blame for.
    """
    singular = loops = 0
    for x in range(0, image.shape[0], _SLAB):
        part = image[x : x + _SLAB + 1]
        xp = namespace(part)
        bright = xp.abs(part) >= np.float32(least)
        phase, grown = xp.angle(part), None
        if growth is not None:
            bright &= xp.abs(growth[x : x + _SLAB + 1]) >= np.float32(least) * xp.abs(part)
            grown = xp.angle(growth[x : x + _SLAB + 1])
        for a, b in ((0, 1), (0, 2), (1, 2)):
            last = part.shape[0] if 0 in (a, b) else min(_SLAB, part.shape[0])  # the overlap belongs to the next slab
            turns, good = _around(xp, phase[:last], bright[:last], None if grown is None else grown[:last], a, b)
            loops += int(good.sum())
            singular += int((xp.rint(turns[good]) != 0).sum())
    return singular, loops


def _around(xp: Any, phase: Any, bright: Any, grown: Any, a: int, b: int) -> tuple[Any, Any]:
    """Sum of the wrapped steps around every loop in the plane of axes a and b, in turns; and which loops count."""
    low, high = slice(None, -1), slice(1, None)
    corners = [
        tuple({a: s, b: t}.get(i, slice(None)) for i in range(3))
        for s, t in ((low, low), (high, low), (high, high), (low, high))
    ]
    total, good = 0, True
    for here, there in zip(corners, corners[1:] + corners[:1]):
        total = total + _step(xp, phase, here, there)
        good = good & bright[here]
        if grown is not None:
            good = good & (xp.abs(_step(xp, grown, here, there)) < np.float32(0.25))
    return total, good


def _step(xp: Any, phase: Any, here: tuple, there: tuple) -> Any:
    """Wrapped step in turns."""
    step = (phase[there] - phase[here]) * _TURN
    step -= xp.rint(step)
    return step


def note(echoes: Any, noise_sd: float) -> str:
    """What to tell of combined echoes: singular loops in echo 1 where its signal is ten times the noise.

    With a second echo only loops count around which the phase between the two is calm, so that those of a dephased
    field beside air are not laid to the coils.
    """
    growth = echoes[1] * echoes[0].conj() if len(echoes) > 1 else None
    singular, loops = count(echoes[0], 10 * noise_sd, growth)
    where = "with signal" if growth is None else "with signal and a calm field"
    return f"{singular} of {loops} loops of four voxels {where} have a phase singularity"
