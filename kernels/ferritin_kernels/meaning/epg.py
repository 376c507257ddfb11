"""Meaning of epg.cuh: the whole phase graph of a spin-echo train, and Levenberg-Marquardt over all voxels in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Fit(NamedTuple):
    """Amplitude after excitation, R2 [1/s], its standard error [1/s], refocusing angle [rad]; (voxel,) float64."""

    s0: np.ndarray
    rate: np.ndarray
    error: np.ndarray
    angle: np.ndarray


def train(
    rate: np.ndarray,
    angle: np.ndarray,
    n: int,
    spacing_s: float,
    t1_s: float = 1.0,
    profile: tuple[tuple[float, float], ...] = ((1.0, 1.0),),
) -> np.ndarray:
    """Echoes (n, ...) of a train after excitation to 1 about the axis of the pulses, from all orders of dephasing.

    rate [1/s] and angle [rad] broadcast. profile: (share of the angle, share of the signal) of each part of the slice.
    Pulses by the matrix of Weigel, J Magn Reson Imaging 2015;41:266, eq. 15, half a spacing of relaxation, recovery and
    dephasing on either side of each. A complex angle continues the echoes beyond 180 degrees, where cos < -1.
    """
    rate, angle = np.broadcast_arrays(np.asarray(rate), np.asarray(angle))
    e2, e1 = np.exp(-0.5 * spacing_s * rate), np.exp(-0.5 * spacing_s / t1_s)
    out = 0
    for share_of_angle, share in profile:
        out = out + share * _echoes(share_of_angle * angle, e1, e2, n)
    return out


def _echoes(angle: np.ndarray, e1: float, e2: np.ndarray, n: int) -> np.ndarray:
    kind = np.result_type(angle, e2, float)
    plus, minus, z = (np.zeros((2 * n + 2, *angle.shape), kind) for _ in range(3))  # F+, conj(F-), Z by order
    plus[0] = minus[0] = 1
    same, other, mixed, along = np.cos(angle / 2) ** 2, np.sin(angle / 2) ** 2, np.sin(angle), np.cos(angle)
    out = np.empty((n, *angle.shape), kind)

    def half_a_spacing() -> None:
        plus[1:], minus[:-1] = (e2 * plus)[:-1], (e2 * minus)[1:]
        plus[0], minus[-1] = minus[0], 0
        z[...] = e1 * z
        z[0] += 1 - e1

    for echo in range(n):
        half_a_spacing()
        plus[:], minus[:], z[:] = (
            same * plus + other * minus + mixed * z,
            other * plus + same * minus - mixed * z,
            mixed / 2 * (minus - plus) + along * z,
        )
        half_a_spacing()
        out[echo] = plus[0]
    return out


def fit(
    magnitude: np.ndarray,
    spacing_s: float,
    *,
    t1_s: float = 1.0,
    profile: tuple[tuple[float, float], ...] = ((1.0, 1.0),),
    weights: np.ndarray | None = None,
    noise_sd: float = 0.0,
    second: bool = False,
    angles: tuple[float, float] = (np.pi / 3, np.pi),
    iterations: int = 60,
) -> Fit:
    """Fit (echo, voxel) float64 magnitudes of a whole train, from the best atom of a fine dictionary.

    Least squares of M, or with `second` the quasi-likelihood of M² that meaning/monoexp.py states. The angle's
    parameter is 1 + cos without a profile, as in the kernel: its slope does not vanish at 180 degrees.
    """
    n, duration = len(magnitude), len(magnitude) * spacing_s
    peak = magnitude.max(axis=0)
    y, sd = magnitude / peak, noise_sd / peak
    w = np.ones((n, 1)) if weights is None else np.reshape(weights, (-1, 1)).astype(float)
    by_cosine = len(profile) == 1

    def model(p: np.ndarray) -> np.ndarray:
        angle = np.arccos(p[2] - 1 + 0j) if by_cosine else p[2]
        return abs(p[0] * train(p[1] / duration, angle, n, spacing_s, t1_s, profile).real)

    def sums(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        m, jacobian = model(p), _slopes(model, p)
        if second:
            jacobian, z, u = 2 * m * jacobian, y**2 - sd**2, m**2 + sd**2
            score, weight, cost = w * (1 - z / u), w / u, w * (u - z * np.log(u))
        else:
            score, weight, cost = w * (m - y), w * np.ones_like(y), 0.5 * w * (m - y) ** 2
        return (
            cost.sum(axis=0),
            np.sum(score * jacobian, axis=1),
            np.einsum("iev,jev,ev->ijv", jacobian, jacobian, weight),
        )

    low, high = (1 + np.cos(angles[::-1])) if by_cosine else np.array(angles)
    low, high = np.array([[1e-6], [0], [low]]), np.array([[np.inf], [80], [high]])
    rate, angle = (a.ravel() for a in np.meshgrid(np.geomspace(0.02, 40, 60), np.linspace(*angles, 40), indexing="ij"))
    x = 1 + np.cos(angle) if by_cosine else angle
    p = np.clip(_start(y, w, abs(train(rate / duration, angle, n, spacing_s, t1_s, profile)), rate, x), low, high)
    damping, now = np.full(peak.size, 1e-3), sums(p)
    for _ in range(iterations):
        cost, gradient, hessian = now
        held = ((p <= low) & (gradient > 0)) | ((p >= high) & (gradient < 0))
        free = ~held[:, None] & ~held[None] | np.eye(3, dtype=bool)[..., None]
        system = np.where(free, hessian, 0) + (hessian * damping + 1e-20) * np.eye(3)[..., None]
        step = np.linalg.solve(np.moveaxis(system, -1, 0), -np.where(held, 0, gradient).T[..., None])[..., 0].T
        trial = np.clip(p + step, low, high)
        then = sums(trial)
        better = then[0] <= cost + 1e-12 * abs(cost)
        p = np.where(better, trial, p)
        now = tuple(np.where(better, a, b) for a, b in zip(then, now))
        damping = np.where(better, np.maximum(damping / 10, 1e-7), np.minimum(damping * 10, 1e7))
    cost, gradient, hessian = now
    held = ((p <= low) & (gradient > 0)) | ((p >= high) & (gradient < 0))
    free = ~held[:, None] & ~held[None] | np.eye(3, dtype=bool)[..., None]
    covariance = np.linalg.inv(np.moveaxis(np.where(free, hessian, 0), -1, 0))[:, 1, 1]
    left = np.count_nonzero(w) - 3
    told = (4 if second else 1) * sd**2 if noise_sd else 2 * cost / left if left else np.nan
    angle = np.arccos(np.clip(p[2] - 1, -1, 1)) if by_cosine else p[2]
    return Fit(p[0] * peak, p[1] / duration, np.sqrt(told * covariance) / duration, angle)


def _slopes(model, p: np.ndarray) -> np.ndarray:
    """Slopes of the model by central differences; the echoes are a polynomial in the cosine, also beyond -1."""
    out = []
    for k in range(3):
        h = np.zeros((3, 1))
        h[k] = 1e-6
        out.append((model(p + h) - model(p - h)) / 2e-6)
    return np.array(out)


def _start(y: np.ndarray, w: np.ndarray, atoms: np.ndarray, rate: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Parameters of the atom that fits each voxel best."""
    norm = np.sqrt(np.sum(w * atoms**2, axis=0))
    match = (w * atoms / norm).T @ y
    best = match.argmax(axis=0)
    return np.array([np.take_along_axis(match, best[None], 0)[0] / norm[best], rate[best], x[best]])
