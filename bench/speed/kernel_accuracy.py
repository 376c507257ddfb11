"""What the voxel fits get right, said in numbers: against scipy in double precision, Monte Carlo, and known decays.

Called by kernels.py. Every function returns lines: what was measured, its value, the limit.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

import ferritin_kernels as kernels

TE = np.array((0.004, 0.009, 0.014, 0.019, 0.024, 0.030))
TURN = 2 * np.pi


def line(what: str, value: float, limit: float, unit: str, most: bool = True, **more) -> dict:
    """One row of the result; most: the value must not exceed the limit, else it must reach it."""
    passed = bool(value <= limit if most else value >= limit)
    return {"line": what, "value": float(value), "limit": limit, "unit": unit, "at": "most" if most else "least",
            "pass": passed} | more  # fmt: skip


def decays(n: int, seed: int, snr: tuple[float, float], rate: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """Complex echoes (echo, voxel) with S0 = 1, their noise sd (voxel,), R2* [1/s] and field [Hz]."""
    rng = np.random.default_rng(seed)
    r2star, field, t = rng.uniform(*rate, n), rng.uniform(-50, 50, n), TE[:, None]
    sd = np.exp(rng.uniform(*np.log(snr), n)) ** -1.0
    noise = rng.standard_normal((2, TE.size, n)) * sd
    clean = np.exp(-t * r2star + 1j * (TURN * t * field + 0.3))
    return (clean + noise[0] + 1j * noise[1]).astype(np.complex64), sd, r2star, field


def nlls_magnitude(magnitude: np.ndarray, start: float) -> float:
    """R2* of the plain decay by least squares in double precision, kept in [0, 1000] as the kernel keeps it."""

    def residual(p):
        return p[0] * np.exp(-TE * p[1] * 100) - magnitude

    def slopes(p):
        decay = np.exp(-TE * p[1] * 100)
        return np.stack([decay, -100 * TE * p[0] * decay], axis=1)

    fits = [
        least_squares(residual, (magnitude[0], r), slopes, method="lm", xtol=1e-12, ftol=1e-12, gtol=1e-12)
        for r in (start / 100, 0.3)
    ]
    best = min(fits, key=lambda fit: fit.cost)
    return float(np.clip(100 * best.x[1], 0, 1000))


def nlls_complex(echoes: np.ndarray, start: float, field: float) -> float:
    """R2* of the complex decay by least squares in double precision."""

    def signal(p):
        return (p[0] + 1j * p[1]) * np.exp((-100 * p[2] + 1j * TURN * 10 * p[3]) * TE)

    def split(z):
        return np.concatenate([z.real, z.imag])

    def slopes(p):
        s, e = signal(p), np.exp((-100 * p[2] + 1j * TURN * 10 * p[3]) * TE)
        return np.stack([split(c) for c in (e, 1j * e, -100 * TE * s, 1j * TURN * 10 * TE * s)], axis=1)

    first = echoes[0] * np.exp((start - 1j * TURN * field) * TE[0])
    fit = least_squares(
        lambda p: split(signal(p) - echoes), (first.real, first.imag, start / 100, field / 10), slopes, method="lm",
        xtol=1e-12, ftol=1e-12, gtol=1e-12,
    )  # fmt: skip
    return float(np.clip(100 * fit.x[2], 0, 1000))


def convergence(n: int) -> list[dict]:
    """|ΔR2*| against scipy's least_squares: what exceeds 0.5 % is compared with 0.05 1/s."""
    echoes, _, r2star, field = decays(n, 1, (10, 200), (5, 300))
    magnitude, out = np.abs(echoes), []
    unwrapped = (TURN * TE[:, None] * field + 0.3).astype(np.float32)
    unwrapped += np.angle(echoes * np.exp(-1j * unwrapped))
    plain = kernels.monoexp(magnitude, TE)
    both = kernels.complexfit(echoes, TE, None, unwrapped)
    reference = {
        "magnitude": (plain.rate, [nlls_magnitude(m, r) for m, r in zip(magnitude.T.astype(float), r2star)]),
        "complex": (both.rate, [nlls_complex(*x) for x in zip(echoes.T.astype(complex), r2star, field)]),
    }
    for name, (found, expected) in reference.items():
        expected = np.array(expected)
        difference = np.abs(found - expected)
        out.append(
            line(
                f"{name} fit: p99 of |ΔR2*| - 0.5 % R2* against scipy least_squares, {n} voxels, SNR 10-200, R2* 5-300",
                np.percentile(difference - 0.005 * expected, 99), 0.05, "1/s",
                percentiles={str(p): float(np.percentile(difference, p)) for p in (50, 90, 99, 99.9)},
                converged=float(np.mean((plain if name == "magnitude" else both).converged)),
            )
        )  # fmt: skip
    return out


def standard_errors(n: int) -> list[dict]:
    """Worst ratio of the mean standard error to the scatter of n repeats; SNR at the first echo."""
    rng, worst = np.random.default_rng(2), {}
    for snr in (20, 50, 100):
        for rate in (10, 30, 60, 100, 150):
            clean = snr * np.exp(-rate * (TE - TE[0]) + 1j * (TURN * TE * 12 + 0.3))[:, None]
            noise = rng.standard_normal((2, TE.size, n))
            echoes = (clean + noise[0] + 1j * noise[1]).astype(np.complex64)
            fits = {m: kernels.monoexp(echoes, TE, model=m, noise_sd=1.0) for m in ("second", "first")}
            both = kernels.complexfit(echoes, TE, noise_sd=1.0)
            pairs = {m: (f.rate, f.error) for m, f in fits.items()} | {
                "complex": (both.rate, both.rate_error),
                "complex, field": (both.field, both.field_error),
            }
            for name, (value, error) in pairs.items():
                ratio = float(error.mean() / value.std())
                kept = worst.get(name, (0.0,))
                worst[name] = max(kept, (abs(ratio - 1), ratio, snr, rate))
    return [
        line(f"standard error, {name}: |mean SE / Monte Carlo scatter - 1|, worst of SNR 20-100 and R2* 10-150",
             100 * w[0], 10, "%", ratio=w[1], snr=w[2], r2star=w[3])
        for name, w in worst.items()
    ]  # fmt: skip


def noise_floor(n: int) -> list[dict]:
    """Bias at R2* 100 1/s, SNR 20 at TE1, 32 coils in sum of squares; all the signal in one coil."""
    te = np.array((0.004, 0.008, 0.012, 0.016, 0.020, 0.024))
    rng, square = np.random.default_rng(3), np.zeros((te.size, n))
    amplitude = 20 * np.exp(-100 * (te - te[0]))[:, None]
    for coil in range(32):
        re, im = rng.standard_normal((2, te.size, n))
        square += (re + (coil == 0) * amplitude) ** 2 + im**2
    echoes = np.sqrt(square).astype(np.float32)
    bias = {m: float(kernels.monoexp(echoes, te, model=m, noise_sd=1.0, coils=32).rate.mean() - 100)
            for m in ("second", "first", "plain", "floor")}  # fmt: skip
    return [
        line(f"noise floor, {m}: |bias| of R2* 100 1/s, SNR 20, 32 coils", abs(bias[m]), 2, "%",
             plain_bias=bias["plain"], floor_bias=bias["floor"])
        for m in ("second", "first")
    ]  # fmt: skip


def gradient() -> list[dict]:
    """R2* 25 1/s under 100 µT/m through a slice of 2 mm; the signal is a sum over spins in double precision."""
    across_hz = 42.577478e6 * 100e-6 * 2e-3
    shape, out = (4, 5, 12), []
    field = np.broadcast_to(across_hz * np.arange(shape[2], dtype=np.float32), shape).copy()
    for profile in ("box", "pulse"):
        z, spins = spins_in_slice(profile)
        left = np.abs(np.exp(2j * np.pi * across_hz * np.multiply.outer(TE, z)) @ spins) / spins.sum()
        echoes = np.broadcast_to((left * np.exp(-25 * TE))[:, None, None, None], (TE.size, *shape)).astype(np.float32)
        option = kernels.Gradient(field, ("none", "none", profile))
        corrected = kernels.monoexp(echoes, TE, gradient=option).rate
        both = kernels.complexfit(echoes.astype(np.complex64), TE, gradient=option).rate
        plain = kernels.monoexp(echoes, TE).rate
        out.append(
            line(f"gradient, {profile}: error of R2* 25 1/s under 100 µT/m through 2 mm",
                 100 * max(np.abs(f - 25).max() for f in (corrected, both)) / 25, 3, "%",
                 without=float(100 * (plain.mean() - 25) / 25))
        )  # fmt: skip
    return out


def spins_in_slice(profile: str) -> tuple[np.ndarray, np.ndarray]:
    """Places [voxels] and density of spins: a box, or what a Hann-windowed sinc pulse of 4 lobes excites."""
    if profile == "box":
        z = (np.arange(4000) + 0.5) / 4000 - 0.5
        return z, np.ones_like(z)
    t, z = np.linspace(-2, 2, 1601), np.linspace(-4, 4, 3201)
    pulse = np.sinc(t) * np.cos(np.pi * t / 4) ** 2
    return z, np.cos(TURN * np.multiply.outer(z, t)) @ pulse
