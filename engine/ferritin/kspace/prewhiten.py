"""Noise prewhitening: coils decorrelated, and noise of the real and of the imaginary part brought to sd 1."""

from __future__ import annotations

import numpy as np
import scipy.linalg

DEFAULT_BANDWIDTH = 0.793
"""Noise bandwidth of a receiver relative to its sampling rate, when the header has none (common practice)."""


class Covariance:
    """Noise covariance Psi = sum n n^H / (M - 1), gathered block by block in float64."""

    def __init__(self, n_coils: int) -> None:
        self._sum = np.zeros((n_coils, n_coils), np.complex128)
        self.n_samples = 0

    def add(self, noise: np.ndarray) -> None:
        """Add samples: (line, coil, sample) complex."""
        flat = np.moveaxis(noise, 1, 0).reshape(noise.shape[1], -1).astype(np.complex128)
        self._sum += flat @ flat.conj().T
        self.n_samples += flat.shape[1]

    def value(self) -> np.ndarray:
        """Psi, (coil, coil) complex128."""
        return self._sum / max(self.n_samples - 1, 1)


def whitening(psi: np.ndarray, n_samples: int, scale: float = 1.0) -> tuple[np.ndarray, tuple[str, ...]]:
    """W = sqrt(2 scale) L^-1 with Psi = L L^H: W n has unit variance in the real and in the imaginary part.

    Parameters
    ----------
    psi : (coil, coil) complex, covariance of complex noise samples
    n_samples : how many samples it comes from
    scale : noise power of the noise scan over that of the imaging lines,
        (dwell of the imaging lines / dwell of the noise scan) * relative receiver noise bandwidth

    Returns
    -------
    W : (coil, coil) complex64; a dead channel's row is zero
    notes : what had to be done beside

    References
    ----------
    Kellman P, McVeigh ER. Image reconstruction in SNR units. MRM 2005;54:1439. doi:10.1002/mrm.20713
    """
    power, notes = np.real(np.diag(psi)), []
    alive = power > 1e-6 * np.median(power)
    if not alive.any():
        return np.eye(len(psi), dtype=np.complex64), ("all noise samples are zero: coils are not whitened",)
    if not alive.all():
        notes.append(f"channels {np.flatnonzero(~alive).tolist()} receive no noise and are left out")
    psi = psi[np.ix_(alive, alive)]
    n = len(psi)
    if n_samples < 10 * n:
        share = n / max(n_samples, 1)
        psi = (psi + share * np.diag(np.diag(psi))) / (1 + share)
        notes.append(f"{n_samples} noise samples for {n} channels: correlations between them shrunk")
    if np.linalg.cond(psi) > 1e10:
        psi = psi + 1e-6 * np.real(np.trace(psi)) / n * np.eye(n)
        notes.append("the noise of some channels is the same: correlations between them shrunk")
    inverse = scipy.linalg.solve_triangular(np.linalg.cholesky(psi), np.eye(n), lower=True)
    w = np.zeros((len(alive), len(alive)), np.complex64)
    w[np.ix_(alive, alive)] = np.sqrt(2 * scale) * inverse
    return w, tuple(notes)
