"""What the scanner sees of a head: the complex signal of every cell at an echo time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ferritin.backend import cpu_count
from ferritin.phantom.grid import Grid


def steady_state(m0: np.ndarray, r1: np.ndarray, tr_s: float, flip_deg: float | np.ndarray) -> np.ndarray:
    """Magnitude of a spoiled gradient echo at TE = 0: M0 sin α (1 - E1) / (1 - E1 cos α), E1 = exp(-TR R1)."""
    e1 = np.exp(-np.float32(tr_s) * r1)
    angle = np.radians(np.asarray(flip_deg, np.float32))
    return m0 * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle))


def transmit_phase(on: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phase [rad] of the transmitter: a parabola, half a turn from the middle to the rim, as three terms to add."""
    axes = [(np.arange(n) - n / 2) / (n / 2) for n in on.shape]
    x, y, z = ((-math.pi / 2) * (a - shift) ** 2 for a, shift in zip(axes, (0.1, -0.05, 0.0)))
    return tuple(a.astype(np.float32) for a in (x + 1.1, y, z))


def gradient_echo(
    s0: np.ndarray, r2star: np.ndarray, total_hz: np.ndarray, phase: tuple[np.ndarray, ...], te_s: float
) -> np.ndarray:
    """Signal of every cell: S0 exp(-R2* TE) exp(+i(φ0 + 2π f TE)), and the spins' dephasing across the cell.

    Parameters
    ----------
    s0, r2star, total_hz : (x, y, z) float32 [1, 1/s, Hz]
    phase : three 1-D float32 [rad]
        Transmit phase as a sum of one term per axis.
    te_s : float [s]

    Returns
    -------
    (x, y, z) complex64
        Dephasing is sinc(Δf TE) per axis for a linear field, Δf the difference across the cell.
    """
    out = np.empty(s0.shape, np.complex64)

    def planes(part: slice) -> None:
        around = slice(max(part.start - 1, 0), min(part.stop + 1, s0.shape[0]))
        own = slice(part.start - around.start, part.stop - around.start)
        magnitude = s0[part] * np.exp(np.float32(-te_s) * r2star[part])
        for axis in range(3):
            slope = np.gradient(total_hz[around], axis=axis)[own]
            magnitude *= np.sinc(slope * np.float32(te_s))
        angle = np.float32(2 * math.pi * te_s) * total_hz[part]
        angle += phase[0][part, None, None] + phase[1][:, None] + phase[2]
        out.real[part], out.imag[part] = magnitude * np.cos(angle), magnitude * np.sin(angle)

    with ThreadPoolExecutor(cpu_count()) as pool:
        list(pool.map(planes, _parts(s0.shape)))
    return out


def _parts(shape: Sequence[int], cells: int = 1 << 20) -> list[slice]:
    step = max(2, cells // (shape[1] * shape[2]))
    return [slice(i, min(i + step, shape[0])) for i in range(0, shape[0], step)]
