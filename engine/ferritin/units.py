"""Units in one place: s, Hz, rad, ppm, mm, T. Headers give ms or µs; only readers convert, with these functions."""

from __future__ import annotations

import math

GAMMA_HZ_PER_T = 42.577478518e6
"""Proton gyromagnetic ratio over 2π, Hz/T (bare proton)."""


def hz_per_ppm(b0_t: float) -> float:
    """Hz that one ppm of B0 is worth: 1e-6 · γ̄ · B0."""
    return 1e-6 * GAMMA_HZ_PER_T * b0_t


def rad_per_hz(te_s: float) -> float:
    """Phase [rad] that a field of one Hz makes until the echo time [s]."""
    return 2 * math.pi * te_s


def ms_to_s(ms: float) -> float:
    """Milliseconds to seconds."""
    return ms * 1e-3


def us_to_s(us: float) -> float:
    """Microseconds to seconds."""
    return us * 1e-6
