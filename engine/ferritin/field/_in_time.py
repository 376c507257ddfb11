"""From echo to echo: every echo takes the turn nearest to where the phase growth leads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.ops.poisson import wrap


def followed(echoes: Any, rate: Any, te_s: tuple[float, ...], mask: Any) -> Any:
    """Phases of all echoes, the first as measured, the others unwrapped in time.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    rate : (x, y, z) float32 [rad/s]
        How fast the phase grows, right to within half a turn from one echo to the next.
    mask : (x, y, z) bool

    Returns
    -------
    (echo, x, y, z) float32 [rad], congruent to the measured phase; 0 outside the mask.
    """
    xp = namespace(echoes)
    out = xp.empty(echoes.shape, np.float32)
    out[0] = xp.angle(echoes[0])
    for e in range(1, len(echoes)):
        expected = rate * np.float32(te_s[e] - te_s[e - 1])
        expected += out[e - 1]
        out[e] = expected + wrap(xp.angle(echoes[e]) - expected)
    xp.nan_to_num(out, copy=False)
    out *= mask
    return out
