"""R2*: scipy's curve_fit voxel by voxel, a compiled Levenberg-Marquardt in numba, the logarithm's straight line."""

from __future__ import annotations

import numpy as np
from entry import entry, our_methods
from scene import Scene

our_methods("r2star", ("echoes", "mask", "noise_sd"))


def score(r2star: np.ndarray, scene: Scene) -> dict[str, float]:
    """Error of R2* inside the inner mask where it is below 200 1/s."""
    true = scene.data.truth("r2star")
    where = scene.inner & (true < 200) & np.isfinite(r2star) & (r2star != 0)
    error = r2star[where] - true[where]
    return {
        "median_error": float(np.median(np.abs(error))),
        "bias": float(np.median(error)),
        "missing_percent": 100 * (1 - float(where.sum() / (scene.inner & (true < 200)).sum())),
    }


@entry("r2star", "scipy curve_fit", "scipy", about="nonlinear least squares, 1 % of the voxels, scaled up", share=0.01)
def scipy_fit(scene: Scene):
    from scipy.optimize import curve_fit

    te = np.array(scene.data.params["TE"])
    index = np.argwhere(scene.mask)[::100]
    signal = np.abs(scene.echoes)[:, *index.T].T.astype(float)

    def model(t, s0, rate):
        return s0 * np.exp(-rate * t)

    def run() -> np.ndarray:
        out = np.zeros(scene.mask.shape, np.float32)
        for place, s in zip(index, signal):
            try:
                out[tuple(place)] = curve_fit(model, te, s, p0=(s[0], 40.0))[0][1]
            except RuntimeError:  # no convergence: the voxel stays missing, and is counted so
                continue
        return out

    return run


@entry("r2star", "numpy log-linear", "numpy", about="straight line through the logarithm, weighted by S²")
def log_linear(scene: Scene):
    te = np.array(scene.data.params["TE"], np.float32)
    signal = np.abs(scene.echoes[:, scene.mask])

    def run() -> np.ndarray:
        log, weight = np.log(np.maximum(signal, 1e-9)), signal**2
        t = te[:, None]
        s, st, stt = weight.sum(0), (weight * t).sum(0), (weight * t * t).sum(0)
        sy, sty = (weight * log).sum(0), (weight * t * log).sum(0)
        out = np.zeros(scene.mask.shape, np.float32)
        out[scene.mask] = -(s * sty - st * sy) / (s * stt - st**2)
        return out

    return run


@entry("r2star", "numba Levenberg-Marquardt", "numba", about="compiled, all cores, double precision")
def numba_fit(scene: Scene):
    import numba

    te = np.array(scene.data.params["TE"])
    signal = np.ascontiguousarray(np.abs(scene.echoes[:, scene.mask]).T.astype(np.float64))

    @numba.njit(parallel=True, fastmath=True)
    def fit(signal, te):
        out = np.empty(len(signal))
        for i in numba.prange(len(signal)):
            s0, rate, damp = signal[i, 0] * 1.2, 40.0, 1e-3
            last = 1e300
            for _ in range(60):
                a11 = a12 = a22 = b1 = b2 = cost = 0.0
                for j in range(len(te)):
                    e = np.exp(-rate * te[j])
                    r, d2 = signal[i, j] - s0 * e, -te[j] * s0 * e
                    a11 += e * e
                    a12 += e * d2
                    a22 += d2 * d2
                    b1 += e * r
                    b2 += d2 * r
                    cost += r * r
                if abs(last - cost) <= 1e-12 * cost:
                    break
                last = cost
                det = a11 * (1 + damp) * a22 * (1 + damp) - a12 * a12
                s0 += (b1 * a22 * (1 + damp) - b2 * a12) / det
                rate += (b2 * a11 * (1 + damp) - b1 * a12) / det
            out[i] = rate
        return out

    fit(signal[:10], te)

    def run() -> np.ndarray:
        out = np.zeros(scene.mask.shape, np.float32)
        out[scene.mask] = fit(signal, te)
        return out

    return run
