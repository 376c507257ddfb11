"""Meaning of closed.cuh: the three closed forms of R, on (echo, voxel) float64 magnitudes."""

from __future__ import annotations

import numpy as np


def log_linear(magnitude: np.ndarray, te_s: np.ndarray) -> np.ndarray:
    """Slope of ln M on TE with the weights M²."""
    t, w = te_s[:, None], magnitude**2
    mean_t = np.sum(w * t, axis=0) / w.sum(axis=0)
    mean_l = np.sum(w * np.log(magnitude), axis=0) / w.sum(axis=0)
    return -np.sum(w * (t - mean_t) * (np.log(magnitude) - mean_l), axis=0) / np.sum(w * (t - mean_t) ** 2, axis=0)


def arlo(magnitude: np.ndarray, te_s: np.ndarray) -> np.ndarray:
    """Pei et al. 2015: T2* = (ΣS² + (Δ/3) ΣSδ) / ((Δ/3) Σδ² + ΣSδ)."""
    third = (te_s[1] - te_s[0]) / 3
    s = third * (magnitude[:-2] + 4 * magnitude[1:-1] + magnitude[2:])
    d = magnitude[:-2] - magnitude[2:]
    return (third * np.sum(d * d, axis=0) + np.sum(s * d, axis=0)) / (
        np.sum(s * s, axis=0) + third * np.sum(s * d, axis=0)
    )


def numart(magnitude: np.ndarray, te_s: np.ndarray) -> np.ndarray:
    """Hagberg et al. 2002: T2* = trapezium integral / (M_1 - M_n)."""
    area = np.sum(np.diff(te_s)[:, None] * (magnitude[1:] + magnitude[:-1]) / 2, axis=0)
    return (magnitude[0] - magnitude[-1]) / area
