"""DECOMPOSE: sources from the echoes' decay and the susceptibility, by a signal of three pools in every voxel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import ParameterError
from ferritin.registry import method
from ferritin.stages import Record, Sources

LEAST_ECHOES = 4
_CHUNK = 1 << 15
_FIRST = (0.3, 0.3, 0.4, 0.05, -0.05)  # C⁺, C⁻, C0 [1], χ⁺, χ⁻ [ppm]


@method("sources", source="Chen J, et al. NeuroImage 2021;242:118477")
def decompose(
    echoes: Any,
    chi: Any,
    mask: Any,
    scan: Any,
    *,
    limit: Annotated[float, "ppm"] = 0.5,
    read: Literal["amplitude", "phase"] = "amplitude",
    iterations: int = 30,
    tolerance: Annotated[float, "share of voxels still moving"] = 0.01,
    progress: Any = None,
) -> Sources:
    """Fit C⁺exp((−aχ⁺ − R + iωχ⁺)t) + C⁻exp((aχ⁻ − R + iωχ⁻)t) + C0 exp(−Rt) to magnitude and susceptibility.

    ω = (2/3)γB0 and a = 2πγB0/(9√3), the frequency and the static dephasing of one ppm. The signal's magnitude is that
    of the echoes, its phase that of chi, so that the field of other voxels does not enter.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64, four echoes or more
    chi : (x, y, z) float32 [ppm]
    mask : (x, y, z) bool
    limit : |χ⁺| and |χ⁻| of the pools stay below this.
    read : what a source is. "amplitude": its pool's susceptibility times its share of the amplitude. "phase": the
        slope of the phase of that pool together with the other two, as published: smaller where sources are strong.
    iterations : Levenberg-Marquardt steps at most, in chunks of voxels.

    Returns
    -------
    Sources
        chi_positive >= 0 >= chi_negative [ppm], 0 outside the mask and where chi or an echo is not finite. The residual
        is the share of voxels that moved more than 0.1 ppb in the last step.
    """
    if len(scan.te_s) < LEAST_ECHOES:
        raise ParameterError(f"decompose needs {LEAST_ECHOES} echoes or more, the scan has {len(scan.te_s)}")
    if not limit > 0 or iterations < 1:
        raise ParameterError(f"limit = {limit} ppm, iterations = {iterations}; expected both above 0")
    xp = namespace(chi)
    positive, negative = xp.zeros_like(chi), xp.zeros_like(chi)
    te = xp.asarray(np.array(scan.te_s))
    pools = _Pools(xp, te, 2 * math.pi * scan.hz_per_ppm, limit)
    where, moving, done = xp.flatnonzero(_usable(xp, echoes, chi, mask)), 0, 0
    chunks = list(_chunks(int(where.size)))
    for i, part in enumerate(chunks):
        index = where[part]
        magnitude = xp.stack([abs(echo.reshape(-1)[index]) for echo in echoes], axis=1).astype(np.float64)
        known = chi.reshape(-1)[index].astype(np.float64)
        data = magnitude / magnitude[:, :1] * xp.exp(1j * pools.frequency * known[:, None] * te)
        fitted, left, steps = pools.fit(data, known, iterations, tolerance)
        moving, done = moving + left, max(done, steps)
        plus, minus = pools.sources(fitted, read)
        positive.reshape(-1)[index], negative.reshape(-1)[index] = plus, minus
        if progress:
            progress(i + 1, len(chunks))
    share, voxels, notes = moving / max(int(where.size), 1), int(xp.count_nonzero(mask)), ()
    if where.size < voxels:
        left_out = f"{voxels - where.size} of {voxels} voxels of the mask have no signal, or NaN in chi or an echo"
        notes = (f"{left_out}; the sources are 0 there",)
    return Sources(positive, negative, Record(done, share, "tolerance" if share <= tolerance else "iterations", notes))


def _usable(xp: Any, echoes: Any, chi: Any, mask: Any) -> Any:
    """Voxels that can be fitted: chi and all echoes finite, signal in the first, to which the others are scaled."""
    usable = mask & xp.isfinite(chi) & (abs(echoes[0]) > 0)
    for echo in echoes:
        usable &= xp.isfinite(echo)
    return usable


def _chunks(n: int) -> Iterator[slice]:
    return (slice(i, min(i + _CHUNK, n)) for i in range(0, n, _CHUNK))


class _Pools:
    """The signal of three pools and its fit, for many voxels at once. Parameters: C⁺, C⁻, C0, χ⁺, χ⁻, R; float64."""

    def __init__(self, xp: Any, te: Any, radians: float, limit: float):
        self.xp, self.te = xp, te
        self.frequency = 2 / 3 * radians
        self.dephasing = 2 * math.pi * radians / (9 * math.sqrt(3))
        far = 1e3
        self.low = xp.asarray(np.array([0.0, 0.0, 0.0, 0.0, -limit, 0.0]))
        self.high = xp.asarray(np.array([far, far, far, limit, 0.0, far]))

    def fit(self, data: Any, chi: Any, iterations: int, tolerance: float) -> tuple[Any, int, int]:
        """Parameters (voxel, 6) that explain the signals (voxel, echo), how many voxels still move, the steps taken."""
        xp = self.xp
        x = self._start(abs(data), chi)
        damping = xp.full(len(chi), 1e-2)
        residual, slopes = self._misfit(x, data)
        cost = (residual * residual).sum(axis=1)
        moving = len(chi)
        for done in range(1, iterations + 1):
            new = xp.clip(x + self._step(x, residual, slopes, damping), self.low, self.high)
            residual_new, slopes_new = self._misfit(new, data)
            cost_new = (residual_new * residual_new).sum(axis=1)
            better = cost_new < cost
            move = xp.where(better, abs(new[:, 3:5] - x[:, 3:5]).max(axis=1), 0.0)
            x = xp.where(better[:, None], new, x)
            residual = xp.where(better[:, None], residual_new, residual)
            slopes = xp.where(better[:, None, None], slopes_new, slopes)
            cost = xp.where(better, cost_new, cost)
            damping = xp.clip(damping * xp.where(better, 0.3, 4.0), 1e-9, 1e9)
            if done % 5 == 0 or done == iterations:
                moving = int((move > 1e-4).sum())
                if moving <= 0.5 * tolerance * len(chi):
                    break
        return x, moving, done

    def _start(self, magnitude: Any, chi: Any) -> Any:
        """The same shares everywhere, chi added to the source of its sign, half of the mean decay for R."""
        xp, te = self.xp, self.te
        x = xp.empty((len(chi), 6))
        for column, value in enumerate(_FIRST):
            x[:, column] = value
        x[:, 3] += xp.maximum(chi, 0)
        x[:, 4] += xp.minimum(chi, 0)
        rate = xp.log(magnitude[:, 0] / xp.maximum(magnitude[:, -1], 1e-12)) / (te[-1] - te[0])
        x[:, 5] = xp.clip(0.5 * rate, 1.0, 500.0)
        x[:, :3] *= xp.exp(x[:, 5] * te[0])[:, None]
        return xp.clip(x, self.low, self.high)

    def _misfit(self, x: Any, data: Any) -> tuple[Any, Any]:
        """Model − data as real numbers (voxel, 2 echoes), and its derivatives (voxel, 2 echoes, 6)."""
        xp, t = self.xp, self.te
        c = x[:, :3, None]
        plus, minus = -self.dephasing + 1j * self.frequency, self.dephasing + 1j * self.frequency
        decay = xp.exp(-x[:, 5:6] * t)
        pools = xp.stack(
            (decay * xp.exp(plus * x[:, 3:4] * t), decay * xp.exp(minus * x[:, 4:5] * t), decay.astype(complex)), axis=1
        )
        signal = (c * pools).sum(axis=1)
        slopes = xp.stack(
            (
                pools[:, 0], pools[:, 1], pools[:, 2],
                x[:, 0:1] * plus * t * pools[:, 0], x[:, 1:2] * minus * t * pools[:, 1], -t * signal,
            ),
            axis=2,
        )  # fmt: skip
        return _real(xp, signal - data), _real(xp, slopes)

    def _step(self, x: Any, residual: Any, slopes: Any, damping: Any) -> Any:
        """A damped Gauss-Newton step of the parameters that a bound does not hold back."""
        xp = self.xp
        downhill = -(slopes * residual[:, :, None]).sum(axis=1)
        held = ((x <= self.low) & (downhill < 0)) | ((x >= self.high) & (downhill > 0))
        free = (~held).astype(np.float64)
        slopes = slopes * free[:, None, :]
        normal = xp.matmul(slopes.transpose(0, 2, 1), slopes)
        size = xp.einsum("vii->vi", normal)
        diagonal = size * damping[:, None] + 1e-9 * size.max(axis=1)[:, None] + 1e-12 + (1 - free)
        normal = normal + diagonal[:, :, None] * xp.eye(6)
        return xp.linalg.solve(normal, (downhill * free)[:, :, None])[:, :, 0]

    def sources(self, x: Any, read: str) -> tuple[Any, Any]:
        """χ⁺ and χ⁻ of the fitted voxels, float32."""
        xp = self.xp
        if read == "amplitude":
            share = x[:, :2] / xp.maximum(x[:, :3].sum(axis=1), 1e-30)[:, None]
            both = share[:, 0] * x[:, 3], share[:, 1] * x[:, 4]
        else:
            both = self._slope(x, 0, -self.dephasing), self._slope(x, 1, self.dephasing)
        return xp.maximum(both[0], 0).astype(np.float32), xp.minimum(both[1], 0).astype(np.float32)

    def _slope(self, x: Any, pool: int, dephasing: float) -> Any:
        """Susceptibility whose phase is that of one pool with its source, the others without."""
        xp, t = self.xp, self.te
        own = x[:, pool : pool + 1] * xp.exp((dephasing + 1j * self.frequency) * x[:, 3 + pool : 4 + pool] * t)
        others = x[:, :3].sum(axis=1)[:, None] - x[:, pool : pool + 1]
        angle = xp.unwrap(xp.angle(own + others), axis=1)
        return (angle * t).sum(axis=1) / (self.frequency * (t * t).sum())


def _real(xp: Any, z: Any) -> Any:
    """Real and imaginary parts one after the other along the second axis."""
    return xp.concatenate((z.real, z.imag), axis=1)
