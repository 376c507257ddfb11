"""What numba makes of the three-parameter decay: √((S0 exp(-R TE))² + C²) fitted to the magnitude, in single precision.

Two programs, compiled with every option that helps (fastmath, prange over all threads, no bounds checks): one voxel at
a time with the C library's exponential, and 16 voxels at a time in local arrays with a polynomial exponential, so that
LLVM can use vectors. Both are Levenberg-Marquardt from a log-linear start, and stop by the rule of the kernel: a step
that moves R times the span of the echo times, and the relative amplitude, by less than the tolerance.
"""

from __future__ import annotations

import numba
import numpy as np

LANES = 16
F = np.float32
_OPTIONS = {"fastmath": True, "error_model": "numpy", "boundscheck": False}


@numba.njit(parallel=True, **_OPTIONS)
def one_by_one(echoes, t, span, tolerance, s0, rate, floor):
    """echoes (echo, voxel) complex64; t: echo times from the first over their span; s0 at the first echo."""
    n, m = echoes.shape
    zero, one, half, tiny = F(0), F(1), F(0.5), F(1e-20)
    for v in numba.prange(m):
        y = np.empty(n, np.float32)
        peak = zero
        for e in range(n):
            y[e] = np.sqrt(echoes[e, v].real ** F(2) + echoes[e, v].imag ** F(2))
            peak = max(peak, y[e])
        w0 = wt = wtt = wl = wtl = zero
        lowest = one
        for e in range(n):
            y[e] /= peak
            w = y[e] * y[e]
            lowest = min(lowest, w)
            log = np.log(y[e] + tiny)
            w0 += w
            wt += w * t[e]
            wtt += w * t[e] * t[e]
            wl += w * log
            wtl += w * t[e] * log
        r = max(zero, -(w0 * wtl - wt * wl) / (w0 * wtt - wt * wt + tiny))
        a, c, damping = np.exp((wl + r * wt) / w0), half * half * lowest, F(1e-3)
        best = F(1e30)
        a1, r1, c1 = a, r, c
        for _ in range(60):
            cost = g0 = g1 = g2 = h00 = h01 = h11 = h02 = h12 = h22 = zero
            for e in range(n):
                d = np.exp(-r1 * t[e])
                s = a1 * d
                inverse = one / np.sqrt(s * s + c1 + F(1e-14))
                res = (s * s + c1) * inverse - y[e]
                j0, j1, j2 = s * inverse * d, -t[e] * s * s * inverse, half * inverse
                cost += half * res * res
                g0 += res * j0
                g1 += res * j1
                g2 += res * j2
                h00 += j0 * j0
                h01 += j0 * j1
                h11 += j1 * j1
                h02 += j0 * j2
                h12 += j1 * j2
                h22 += j2 * j2
            if cost <= best * (one + F(1e-6)):
                best, a, r, c = cost, a1, r1, c1
                k0, k1, k2 = g0, g1, g2
                q00, q01, q11, q02, q12, q22 = h00, h01, h11, h02, h12, h22
                damping = max(F(0.25) * damping, F(1e-7))
            else:
                damping *= F(4)
            up = one + damping
            d0 = q00 * up + tiny
            free1 = zero if r <= zero and k1 > zero else one  # held at its bound by the gradient
            free2 = zero if c <= zero and k2 > zero else one
            l10, l20 = free1 * q01 / d0, free2 * q02 / d0
            d1 = max(q11 * up - l10 * l10 * d0, F(1e-6) * q11 + tiny)
            l21 = (free1 * free2 * q12 - l20 * l10 * d0) / d1
            d2 = max(q22 * up - l20 * l20 * d0 - l21 * l21 * d1, F(1e-6) * q22 + tiny)
            z0 = -k0
            z1 = -free1 * k1 - l10 * z0
            z2 = -free2 * k2 - l20 * z0 - l21 * z1
            p2 = z2 / d2
            p1 = z1 / d1 - l21 * p2
            p0 = z0 / d0 - l10 * p1 - l20 * p2
            a1, r1, c1 = max(a + p0, F(0.05) * a), max(r + p1, zero), min(max(c + p2, zero), one)
            if max(abs(a1 - a) / a1, abs(r1 - r), abs(c1 - c)) <= tolerance and damping < one:
                a, r, c = a1, r1, c1
                break
        s0[v], rate[v], floor[v] = a * peak, r / span, np.sqrt(c) * peak


@numba.njit(inline="always", **_OPTIONS)
def _exponential(x):
    """e^x for |x| < 87, a polynomial of degree 5 on the fraction, the integer put into the exponent."""
    y = x * F(1.442695041)
    k = np.floor(y + F(0.5))
    f = y - k
    q = F(1.326458785e-3)
    q = q * f + F(9.671619604e-3)
    q = q * f + F(5.550735045e-2)
    q = q * f + F(2.402224045e-1)
    q = q * f + F(6.931469764e-1)
    q = q * f + F(1)
    return q, np.int32(k)


@numba.njit(parallel=True, **_OPTIONS)
def in_lanes(echoes, t, span, tolerance, s0, rate, floor):
    """As `one_by_one`; 16 voxels share every loop, and those that have converged wait for the others."""
    n, m = echoes.shape
    zero, one, half, tiny = F(0), F(1), F(0.5), F(1e-20)
    for block in numba.prange((m + LANES - 1) // LANES):
        first = min(block * LANES, max(m - LANES, 0))
        y = np.empty((n, LANES), np.float32)
        peak, lowest, a, r, c, damping, best, a1, r1, c1 = np.zeros((10, LANES), np.float32)
        w = np.zeros((5, LANES), np.float32)
        q, k = np.zeros((10, LANES), np.float32), np.zeros((10, LANES), np.float32)
        scale = np.empty(LANES, np.int32)
        power = scale.view(np.float32)
        moving = np.ones(LANES, np.int32)
        for e in range(n):
            for l in range(LANES):
                s = echoes[e, first + l]
                y[e, l] = np.sqrt(s.real * s.real + s.imag * s.imag)
                peak[l] = max(peak[l], y[e, l])
        for l in range(LANES):
            lowest[l] = one
        for e in range(n):
            for l in range(LANES):
                y[e, l] /= peak[l]
                square = y[e, l] * y[e, l]
                lowest[l] = min(lowest[l], square)
                log = np.log(y[e, l] + tiny)
                w[0, l] += square
                w[1, l] += square * t[e]
                w[2, l] += square * t[e] * t[e]
                w[3, l] += square * log
                w[4, l] += square * t[e] * log
        for l in range(LANES):
            slope = (w[0, l] * w[4, l] - w[1, l] * w[3, l]) / (w[0, l] * w[2, l] - w[1, l] * w[1, l] + tiny)
            r1[l] = max(zero, -slope)
            a1[l] = np.exp((w[3, l] + r1[l] * w[1, l]) / w[0, l])
            c1[l] = F(0.25) * lowest[l]
            damping[l] = F(1e-3)
            best[l] = F(1e30)
        for _ in range(60):
            for j in range(10):
                for l in range(LANES):
                    q[j, l] = zero
            for e in range(n):
                for l in range(LANES):
                    mantissa, exponent = _exponential(-r1[l] * t[e])
                    scale[l] = (exponent + 127) << 23
                    w[0, l] = mantissa
                for l in range(LANES):
                    d = w[0, l] * power[l]
                    s = a1[l] * d
                    inverse = one / np.sqrt(s * s + c1[l] + F(1e-14))
                    res = (s * s + c1[l]) * inverse - y[e, l]
                    j0, j1, j2 = s * inverse * d, -t[e] * s * s * inverse, half * inverse
                    q[0, l] += half * res * res
                    q[1, l] += res * j0
                    q[2, l] += res * j1
                    q[3, l] += res * j2
                    q[4, l] += j0 * j0
                    q[5, l] += j0 * j1
                    q[6, l] += j1 * j1
                    q[7, l] += j0 * j2
                    q[8, l] += j1 * j2
                    q[9, l] += j2 * j2
            left = 0
            for l in range(LANES):
                better = q[0, l] <= best[l] * (one + F(1e-6)) and moving[l] == 1
                best[l] = q[0, l] if better else best[l]
                a[l] = a1[l] if better else a[l]
                r[l] = r1[l] if better else r[l]
                c[l] = c1[l] if better else c[l]
                for j in range(1, 10):
                    k[j, l] = q[j, l] if better else k[j, l]
                damping[l] = max(F(0.25) * damping[l], F(1e-7)) if better else F(4) * damping[l]
                up = one + damping[l]
                d0 = k[4, l] * up + tiny
                free1 = zero if r[l] <= zero and k[2, l] > zero else one  # held at its bound by the gradient
                free2 = zero if c[l] <= zero and k[3, l] > zero else one
                l10, l20 = free1 * k[5, l] / d0, free2 * k[7, l] / d0
                d1 = max(k[6, l] * up - l10 * l10 * d0, F(1e-6) * k[6, l] + tiny)
                l21 = (free1 * free2 * k[8, l] - l20 * l10 * d0) / d1
                d2 = max(k[9, l] * up - l20 * l20 * d0 - l21 * l21 * d1, F(1e-6) * k[9, l] + tiny)
                z0 = -k[1, l]
                z1 = -free1 * k[2, l] - l10 * z0
                z2 = -free2 * k[3, l] - l20 * z0 - l21 * z1
                p2 = z2 / d2
                p1 = z1 / d1 - l21 * p2
                p0 = z0 / d0 - l10 * p1 - l20 * p2
                a1[l] = max(a[l] + p0, F(0.05) * a[l])
                r1[l] = max(r[l] + p1, zero)
                c1[l] = min(max(c[l] + p2, zero), one)
                move = max(abs(a1[l] - a[l]) / a1[l], abs(r1[l] - r[l]), abs(c1[l] - c[l]))
                ends = move <= tolerance and damping[l] < one and moving[l] == 1
                a[l] = a1[l] if ends else a[l]
                r[l] = r1[l] if ends else r[l]
                c[l] = c1[l] if ends else c[l]
                moving[l] = 0 if ends else moving[l]
                left += moving[l]
            if left == 0:
                break
        for l in range(LANES):
            s0[first + l], rate[first + l], floor[first + l] = a[l] * peak[l], r[l] / span, np.sqrt(c[l]) * peak[l]


def fit(program, echoes: np.ndarray, te_s: np.ndarray, tolerance: float = 1e-4) -> tuple[np.ndarray, ...]:
    """(s0 at the first echo, R, floor) by one of the two programs; 16 voxels or more."""
    te = np.asarray(te_s, np.float64)
    span = te[-1] - te[0]
    out = tuple(np.empty(echoes.shape[1], np.float32) for _ in range(3))
    program(echoes, ((te - te[0]) / span).astype(np.float32), F(span), F(tolerance), *out)
    return out
