"""Extended phase graphs: the echoes of a train of refocusing pulses, with their stimulated echoes."""

from __future__ import annotations

import math

import numpy as np


def echo_train(
    r1: np.ndarray, r2: np.ndarray, b1: np.ndarray, *, spacing_s: float, n: int, flip_deg: float = 180.0
) -> np.ndarray:
    """Amplitudes of the echoes of a Carr-Purcell-Meiboom-Gill train after a perfect excitation.

    Parameters
    ----------
    r1, r2 : (...) [1/s]
    b1 : (...) [1]
        Transmit field over the nominal one; scales the refocusing pulses and the excitation (sin of b1 x 90 degrees).
    spacing_s : float [s]
        Between echoes.
    n : int
        Echoes.
    flip_deg : float [degrees]
        Nominal refocusing angle.

    Returns
    -------
    (n, ...) float64

    References
    ----------
    Hennig J. J Magn Reson 1988;78:397; Weigel M. J Magn Reson Imaging 2015;41:266, eq. 15 to 18.
    """
    r1, r2, b1 = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (r1, r2, b1)))
    e1, e2 = np.exp(-spacing_s / 2 * r1), np.exp(-spacing_s / 2 * r2)
    angle = math.radians(flip_deg) * b1
    cos2, sin2, sin, cos = np.cos(angle / 2) ** 2, np.sin(angle / 2) ** 2, np.sin(angle), np.cos(angle)
    # Refocusing about the axis of the excited magnetisation: all states are real.
    plus, minus, z = (np.zeros((n + 2, *r1.shape)) for _ in range(3))
    plus[0] = minus[0] = np.sin(math.pi / 2 * b1)
    z[0] = np.cos(math.pi / 2 * b1)
    out = np.empty((n, *r1.shape))
    for echo in range(n):
        _evolve(plus, minus, z, e1, e2)
        plus[:], minus[:], z[:] = (
            cos2 * plus + sin2 * minus + sin * z,
            sin2 * plus + cos2 * minus - sin * z,
            -sin / 2 * plus + sin / 2 * minus + cos * z,
        )
        _evolve(plus, minus, z, e1, e2)
        out[echo] = np.abs(plus[0])
    return out


def _evolve(plus: np.ndarray, minus: np.ndarray, z: np.ndarray, e1: np.ndarray, e2: np.ndarray) -> None:
    """Half a spacing: relaxation, recovery, and one step of dephasing."""
    plus *= e2
    minus *= e2
    z *= e1
    z[0] += 1 - e1
    plus[1:] = plus[:-1].copy()
    minus[:-1] = minus[1:].copy()
    minus[-1] = 0
    plus[0] = minus[0]
