"""Meaning of echoes.cuh, on (echo, voxel) complex128 echoes."""

from __future__ import annotations

import numpy as np


def root_sum_of_squares(echoes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """√(Σ w |S|²)."""
    return np.sqrt(np.sum(weights[:, None] * abs(echoes) ** 2, axis=0))


def phase_line(
    echoes: np.ndarray, unwrapped: np.ndarray, te_s: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Field [Hz], its standard deviation for a noise sd of 1, and offset [rad]: weighted regression."""
    w, t = weights[:, None] * abs(echoes) ** 2, te_s[:, None]
    mean_t, mean_p = (np.sum(w * x, axis=0) / w.sum(axis=0) for x in (t, unwrapped))
    spread = np.sum(w * (t - mean_t) ** 2, axis=0)
    slope = np.sum(w * (t - mean_t) * (unwrapped - mean_p), axis=0) / spread
    return slope / (2 * np.pi), 1 / (2 * np.pi * np.sqrt(spread)), mean_p - slope * mean_t
