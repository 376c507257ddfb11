"""Scans beside the multi-echo gradient echo, for R2, R1, magnetic field correlation and direct saturation.

Each is a generator of `Shot`s: what one image file holds, as signal on the fine cells. All share the head, the field,
the transmitter's unevenness and the noise of the gradient-echo scan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from ferritin.phantom.epg import echo_train
from ferritin.phantom.grid import Grid
from ferritin.phantom.scanner import Scanner
from ferritin.phantom.signal import steady_state

MFC_PER_R2PRIME = 20.0
"""Magnetic field correlation [1/s²] over R2' [1/s] that the head is given: about 500 over 26 in the pallidum at 3 T."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One image: its BIDS entities and suffix, complex or real signal on the fine cells, and what its sidecar says."""

    name: str
    signal: np.ndarray
    sidecar: dict[str, Any]


def transmit_field(on: Grid, b0_t: float) -> np.ndarray:
    """B1 over the nominal one, float32: bright in the middle and dim at the temples, the more the higher the field."""
    uneven = 0.06 * b0_t / 3 * (1 + b0_t / 7)
    x, y, z = on.coordinates()
    far2 = (x / 75) ** 2 + ((y + 15) / 95) ** 2 + ((z - 10) / 80) ** 2
    tilt = 0.1 * uneven * (x / 75 - y / 95)
    return (1 + np.float32(uneven) * (np.exp(-far2) * np.float32(1.6) - np.float32(0.75)) + tilt).astype(np.float32)


def spin_echoes(
    scanner: Scanner, *, n: int = 10, spacing_ms: float = 10.0, flip_deg: float = 180.0, tr_ms: float = 3000.0
) -> Iterator[Shot]:
    """Multi-echo spin echo: decay by R2 and the stimulated echoes of imperfect refocusing, by phase graphs."""
    head, b0 = scanner.head, scanner.protocol.b0_t
    r1, r2 = head.rate("r1", b0), head.rate("r2", b0)
    b1 = transmit_field(scanner.fine, b0)
    ready = head.m0() * (1 - np.exp(-np.float32(1e-3 * tr_ms) * r1))
    amplitude = _EchoTable(1e-3 * spacing_ms, n, flip_deg)
    for echo in range(n):
        said = {"EchoTime": round(1e-3 * spacing_ms * (echo + 1), 7), "RepetitionTime": 1e-3 * tr_ms}
        said |= {"EchoTrainLength": n, "RefocusingFlipAngle": flip_deg}
        yield Shot(f"echo-{echo + 1}_MESE", ready * amplitude(echo, r1, r2, b1), said)


class _EchoTable:
    """Echo amplitudes of many cells, interpolated in a table over R1, R2 and B1 to about 1e-3."""

    _AXES = (np.geomspace(0.1, 4, 10), np.geomspace(0.3, 800, 90), np.linspace(0.4, 1.6, 25))

    def __init__(self, spacing_s: float, n: int, flip_deg: float) -> None:
        self._table = echo_train(
            *np.meshgrid(*self._AXES, indexing="ij"), spacing_s=spacing_s, n=n, flip_deg=flip_deg
        ).astype(np.float32)

    def __call__(self, echo: int, r1: np.ndarray, r2: np.ndarray, b1: np.ndarray) -> np.ndarray:
        out = np.empty(r1.shape, np.float32)
        for plane in range(len(out)):
            at = [self._place(v[plane], axis, i < 2) for i, (v, axis) in enumerate(zip((r1, r2, b1), self._AXES))]
            ndimage.map_coordinates(self._table[echo], at, order=1, mode="nearest", output=out[plane])
        return out

    @staticmethod
    def _place(values: np.ndarray, axis: np.ndarray, log: bool) -> np.ndarray:
        """Position in a table's axis, in steps."""
        if log:
            values, axis = np.log(np.maximum(values, axis[0])), np.log(axis)
        return (values - axis[0]) / (axis[1] - axis[0])


def variable_flips(
    scanner: Scanner, *, flips_deg: tuple[float, ...] = (5.0, 24.0), tr_ms: float = 20.0, te_ms: float = 2.5
) -> Iterator[Shot]:
    """Spoiled gradient echoes of several flip angles, each scaled by the transmit field; and that field."""
    head, b0 = scanner.head, scanner.protocol.b0_t
    m0, r1, r2star = head.m0(), head.rate("r1", b0), head.rate("r2star", b0)
    b1, decay = transmit_field(scanner.fine, b0), np.exp(-np.float32(1e-3 * te_ms) * r2star)
    for i, flip in enumerate(flips_deg, 1):
        said = {"FlipAngle": flip, "RepetitionTimeExcitation": 1e-3 * tr_ms, "EchoTime": 1e-3 * te_ms}
        yield Shot(f"flip-{i}_VFA", steady_state(m0, r1, 1e-3 * tr_ms, flip * b1) * decay, said)


def asymmetric_spin_echoes(
    scanner: Scanner,
    *,
    shifts_ms: tuple[float, ...] = (0.0, -4.0, -8.0, -12.0, -16.0),
    te_ms: float = 40.0,
    tr_ms: float = 3000.0,
) -> Iterator[Shot]:
    """Spin echoes whose refocusing pulse is moved by t_s: exp(-2 MFC t_s²), and macroscopic dephasing over 2 t_s.

    References
    ----------
    Jensen JH, et al. Magn Reson Med 2006;55:1350.
    """
    head, b0 = scanner.head, scanner.protocol.b0_t
    r1, r2, r2star = (head.rate(name, b0) for name in ("r1", "r2", "r2star"))
    base = head.m0() * (1 - np.exp(-np.float32(1e-3 * tr_ms) * r1)) * np.exp(-np.float32(1e-3 * te_ms) * r2)
    mfc = field_correlation(r2, r2star)
    total_hz = scanner.total_field * np.float32(scanner.hz_per_ppm)
    for i, shift in enumerate(shifts_ms, 1):
        t = 1e-3 * shift
        phase = np.float32(4 * math.pi * t) * total_hz
        magnitude = base * np.exp(np.float32(-2 * t * t) * mfc)
        said = {"EchoTime": 1e-3 * te_ms, "RepetitionTime": 1e-3 * tr_ms, "RefocusingShift": t}
        yield Shot(f"acq-shift{i}_ASE", magnitude * np.exp(1j * phase).astype(np.complex64), said)


def field_correlation(r2: np.ndarray, r2star: np.ndarray) -> np.ndarray:
    """The head's magnetic field correlation [1/s²]."""
    return np.float32(MFC_PER_R2PRIME) * np.maximum(r2star - r2, 0)


def saturated(
    scanner: Scanner,
    *,
    offsets_hz: tuple[float, ...] = (-400.0, -200.0, -100.0, -50.0, -20.0, 0.0, 20.0, 50.0, 100.0, 200.0, 400.0),
    b1_ut: float = 0.15,
    te_ms: float = 2.5,
) -> Iterator[Shot]:
    """Images after long weak saturation at several offsets, and one without: water's own steady state of Bloch.

    M_z / M_0 = (1 + (Δ T2)²) / (1 + (Δ T2)² + ω1² T1 T2), Δ the offset from each cell's own frequency.

    References
    ----------
    Smith SA, et al. Magn Reson Med 2009;62:384.
    """
    head, b0 = scanner.head, scanner.protocol.b0_t
    r1, r2, r2star = (head.rate(name, b0) for name in ("r1", "r2", "r2star"))
    ready = head.m0() * np.exp(-np.float32(1e-3 * te_ms) * r2star)
    total_hz = scanner.total_field * np.float32(scanner.hz_per_ppm)
    t2 = 1 / np.maximum(r2, np.float32(0.2))
    power = (np.float32(2 * math.pi * 42.577478518 * b1_ut) * transmit_field(scanner.fine, b0)) ** 2
    power *= t2 / np.maximum(r1, np.float32(0.05))
    yield Shot("acq-sat0_DSI", ready, {"EchoTime": 1e-3 * te_ms, "SaturationB1": 0.0})
    for i, offset in enumerate(offsets_hz, 1):
        away = 1 + (np.float32(2 * math.pi) * (np.float32(offset) - total_hz) * t2) ** 2
        said = {"EchoTime": 1e-3 * te_ms, "SaturationB1": b1_ut, "SaturationOffset": offset}
        yield Shot(f"acq-sat{i}_DSI", ready * (away / (away + power)), said)


SEQUENCES: dict[str, Callable[[Scanner], Iterator[Shot]]] = {
    "mese": spin_echoes,
    "vfa": variable_flips,
    "ase": asymmetric_spin_echoes,
    "saturation": saturated,
}
"""By the name that `simulate` takes."""
