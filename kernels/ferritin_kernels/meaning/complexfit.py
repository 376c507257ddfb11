"""Meaning of complexfit.cuh: Gauss-Newton over all voxels in numpy, with a complex amplitude and the full Jacobian."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Fit(NamedTuple):
    """Maps as in ferritin_kernels.ComplexDecay; (voxel,) float64."""

    s0: np.ndarray
    rate: np.ndarray
    rate_error: np.ndarray
    field: np.ndarray
    field_error: np.ndarray
    offset: np.ndarray
    bipolar: np.ndarray
    residual: np.ndarray


def fit(
    echoes: np.ndarray,
    te_s: np.ndarray,
    rate: np.ndarray,
    field: np.ndarray,
    *,
    polarity: np.ndarray | None = None,
    noise_sd: float = 0.0,
    iterations: int = 40,
) -> Fit:
    """Fit (echo, voxel) complex128 echoes from a start of rate [1/s] and field [Hz]; polarity adds the bipolar term."""
    t, odd = te_s[:, None], np.zeros(field.shape)
    p = np.array([np.zeros_like(rate), np.zeros_like(rate), rate, 2 * np.pi * field, odd])
    p = p if polarity is not None else p[:4]
    signs = np.zeros((te_s.size, 1)) if polarity is None else np.reshape(polarity, (-1, 1)).astype(float)
    for k in range(iterations):
        d = np.exp((-p[2] + 1j * p[3]) * t + 1j * signs * (p[4] if len(p) > 4 else 0))
        if k == 0:
            c = np.sum(d.conj() * echoes, axis=0) / np.sum(abs(d) ** 2, axis=0)
            p[0], p[1] = c.real, c.imag
        m = (p[0] + 1j * p[1]) * d
        jacobian = np.array([d, 1j * d, -t * m, 1j * t * m, 1j * signs * m][: len(p)])
        hessian = np.einsum("iev,jev->vij", jacobian.conj(), jacobian).real
        gradient = np.einsum("iev,ev->vi", jacobian.conj(), m - echoes).real
        scale = np.sqrt(np.einsum("vii->vi", hessian))
        step = np.linalg.solve(hessian / scale[:, :, None] / scale[:, None], -(gradient / scale)[..., None])[..., 0]
        p = p + (step / scale).T
    squares = np.sum(abs(m - echoes) ** 2, axis=0)
    freedom = 2 * te_s.size - len(p)
    variance = noise_sd**2 if noise_sd else squares / freedom
    covariance = np.linalg.inv(hessian)
    c = p[0] + 1j * p[1]
    return Fit(
        abs(c),
        p[2],
        np.sqrt(variance * covariance[:, 2, 2]),
        p[3] / (2 * np.pi),
        np.sqrt(variance * covariance[:, 3, 3]) / (2 * np.pi),
        np.angle(c),
        p[4] if len(p) > 4 else odd,
        np.sqrt(squares / np.sum(abs(echoes) ** 2, axis=0)),
    )
