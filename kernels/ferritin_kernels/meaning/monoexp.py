"""Meaning of monoexp.cuh: the objective of each noise model, and Levenberg-Marquardt over all voxels in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ferritin_kernels.monoexp import mean_magnitude


class Fit(NamedTuple):
    """Amplitude at TE = 0, rate [1/s], its standard error [1/s] and the floor; (voxel,) float64."""

    s0: np.ndarray
    rate: np.ndarray
    error: np.ndarray
    floor: np.ndarray


def expected(signal: np.ndarray, model: str, noise_sd: float, coils: int) -> np.ndarray:
    """E[M] for a noise-free signal under the models "plain" and "first"."""
    return noise_sd * mean_magnitude(signal / noise_sd, coils) if model == "first" else signal


def fit(
    magnitude: np.ndarray,
    te_s: np.ndarray,
    *,
    model: str = "plain",
    noise_sd: float = 0.0,
    coils: int = 1,
    max_rate: float = 1000.0,
    iterations: int = 60,
) -> Fit:
    """Fit (echo, voxel) float64 magnitudes; derivatives of "first" by central differences.

    "plain", "first", "floor": least squares of M. "second": quasi-likelihood Σ u - z ln u of z = M² - Nσ² with
    u = m² + Nσ², whose score is that of weighted least squares of M² with the variance 4σ²u.
    """
    n_parameters = 3 if model == "floor" else 2
    peak, span = magnitude.max(axis=0), te_s[-1] - te_s[0]
    t = ((te_s - te_s[0]) / span)[:, None]
    y, sd = magnitude / peak, noise_sd / peak
    p = _start(y, t, sd, coils, model, max_rate * span)[:n_parameters]
    damping = np.full(peak.size, 1e-3)
    now = _normal(p, y, t, model, sd, coils)
    upper = np.array([np.inf, max_rate * span, 1.0])[:n_parameters, None]
    for _ in range(iterations):
        cost, gradient, hessian = now
        held = ((p <= 0) & (gradient > 0)) | ((p >= upper) & (gradient < 0))
        held[0] = False
        free = ~held[:, None] & ~held[None] | np.eye(n_parameters, dtype=bool)[..., None]
        system = np.where(free, hessian, 0) + hessian * damping * np.eye(n_parameters)[..., None]
        system += 1e-20 * np.eye(n_parameters)[..., None]
        step = np.linalg.solve(np.moveaxis(system, -1, 0), -np.where(held, 0, gradient).T[..., None])[..., 0].T
        trial = np.clip(p + step, np.array([0.05 * p[0], *(0 * p[1:])]), upper)
        then = _normal(trial, y, t, model, sd, coils)
        better = then[0] <= cost + 1e-12 * abs(cost)
        p = np.where(better, trial, p)
        now = tuple(np.where(better, a, b) for a, b in zip(then, now))
        damping = np.where(better, np.maximum(damping / 10, 1e-7), np.minimum(damping * 10, 1e7))
    cost, _, hessian = now
    if noise_sd:
        variance = (4 if model == "second" else 1) * sd**2
    else:
        freedom = te_s.size - n_parameters
        variance = 2 * cost / freedom if freedom else np.full(peak.size, np.nan)
    covariance = np.linalg.inv(np.moveaxis(hessian, -1, 0))[:, 1, 1]
    floor = np.sqrt(p[2]) * peak if model == "floor" else np.zeros(peak.size)
    return Fit(p[0] * peak * np.exp(p[1] * te_s[0] / span), p[1] / span, np.sqrt(variance * covariance) / span, floor)


def _start(y: np.ndarray, t: np.ndarray, sd: np.ndarray, coils: int, model: str, max_rate: float) -> np.ndarray:
    """Weighted log-linear fit of the echoes less the noise floor."""
    floor = 0.5 * (y**2).min(axis=0) if model == "floor" else 2 * coils * sd**2
    w = np.maximum(y**2 - floor, 0.05 * y**2) + 1e-12
    log = 0.5 * np.log(w)
    mean_t, mean_log = (np.sum(w * x, axis=0) / w.sum(axis=0) for x in (t, log))
    slope = np.sum(w * (t - mean_t) * (log - mean_log), axis=0) / np.sum(w * (t - mean_t) ** 2, axis=0)
    rate = np.clip(-slope, 0, max_rate)
    return np.array([np.exp(mean_log + rate * mean_t), rate, floor])


def _normal(
    p: np.ndarray, y: np.ndarray, t: np.ndarray, model: str, sd: np.ndarray, coils: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cost (voxel,), gradient (parameter, voxel) and Gauss-Newton matrix (parameter, parameter, voxel)."""
    d = np.exp(-p[1] * t)
    m = p[0] * d
    jacobian = np.array([d, -t * m])
    if model == "second":
        z, u = y**2 - coils * sd**2, m**2 + coils * sd**2
        jacobian = 2 * m * jacobian
        score, weight, cost = 1 - z / u, 1 / u, u - z * np.log(u)
    elif model == "floor":
        mu = np.sqrt(m**2 + p[2] + 1e-14)
        jacobian = np.array([*(jacobian * m / mu), 0.5 / mu])
        score, weight, cost = mu - y, np.ones_like(y), 0.5 * (mu - y) ** 2
    else:
        if model == "first":
            h = 1e-4 * sd
            jacobian = jacobian * (expected(m + h, model, sd, coils) - expected(np.maximum(m - h, 0), model, sd, coils))
            jacobian /= h + np.minimum(m, h)
        r = expected(m, model, sd, coils) - y
        score, weight, cost = r, np.ones_like(y), 0.5 * r**2
    gradient = np.sum(score * jacobian, axis=1)
    return cost.sum(axis=0), gradient, np.einsum("iev,jev,ev->ijv", jacobian, jacobian, weight)
