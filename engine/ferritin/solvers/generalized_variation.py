"""ADMM for total generalised variation: fidelity(K*x, d) + λ₁|∇x − w| + λ₀|Ew|, E the symmetrised gradient of w.

A slope costs nothing where w follows it: smooth changes are kept, edges stay sharp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.ops.gradient import Gradient
from ferritin.ops.slabs import each, slabs
from ferritin.ops.symmetric import SymmetricGradient
from ferritin.solvers.fidelity import Fidelity
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import relative_change


@dataclass
class GeneralizedVariation:
    """The problem on one periodic box; see TotalVariation for kernel, data, weight, step and fidelity.

    first, second : λ₁ and λ₀, numbers.
    """

    kernel: Any
    data: Any
    weight: Any
    first: float
    second: float
    step: tuple[float, float, float]
    fidelity: Fidelity
    data_penalty: float = 0.03
    prior_penalty: float = 0.03

    def solve(self, xp: Any, stop: Stopping) -> Any:
        """The minimiser x. Splits: y = K*x, z = ∇x − w, e = Ew, both with the prior's penalty; x, w found together.

        Duals are projections, as in TotalVariation: neither z nor e is kept.
        """
        shape = self.data.shape
        rho, mu = np.float32(self.data_penalty), np.float32(self.prior_penalty)
        gradient, symmetric, parts = Gradient(self.step), SymmetricGradient(self.step), slabs(xp, shape)
        system = _System(xp, shape, self.kernel, gradient, rho, mu)
        weight = self.fidelity.weighting(xp, self.weight)
        limits = np.float32(self.first / self.prior_penalty), np.float32(self.second / self.prior_penalty)
        target, data_dual, x = self.data.copy(), xp.zeros_like(self.data), xp.zeros_like(self.data)
        dual, dual2 = (xp.zeros((n, *shape), dtype=np.float32) for n in (3, 6))
        pull, pull_w = xp.zeros_like(x), xp.zeros((3, *shape), dtype=np.float32)
        while True:
            new, model, w = system.solve(target, pull, pull_w)
            change = relative_change(xp, new, x) if stop.due else None
            x = new
            if stop.step(change):
                return x

            def split_data(s: slice, model: Any = model) -> None:
                f, t, u = model[s], target[s], data_dual[s]
                f += u
                self.fidelity(xp, f, self.data[s], weight[s], rho, t)
                xp.subtract(f, t, out=u)
                t -= u

            def split_first(s: slice, x: Any = x, w: Any = w) -> None:
                q = gradient.on_slab(xp, x, s)
                q -= w[:, s]
                _project(xp, q, dual[:, s], limits[0], (1, 1, 1))
                pull_w[:, s] -= q
                gradient.add_adjoint_of_slab(xp, q, s, pull)

            def split_second(s: slice, w: Any = w) -> None:
                q = symmetric.on_slab(xp, w, s)
                _project(xp, q, dual2[:, s], limits[1], (1, 1, 1, 2, 2, 2))
                symmetric.add_adjoint_of_slab(xp, q, s, pull_w)

            each(split_data, parts)
            pull[...] = 0
            pull_w[...] = 0
            each(split_first, parts, neighbours=True)
            each(split_second, parts, neighbours=True)


def _project(xp: Any, q: Any, dual: Any, limit: np.float32, counts: tuple[int, ...]) -> None:
    """dual ← projection of q + dual onto the ball of the limit; q ← q + dual_old − 2·dual_new."""
    q += dual
    size = counts[0] * q[0] * q[0]
    for count, part in zip(counts[1:], q[1:]):
        size += count * (part * part)
    xp.sqrt(size, out=size)
    xp.maximum(size, limit, out=size)
    xp.divide(limit, size, out=size)
    xp.multiply(q, size, out=dual)
    q -= dual
    q -= dual


class _System:
    """The quadratic step, solved exactly at every frequency.

    With d the spectrum of ∇ and b that of the backward differences in E, both vectors of length² L:
    x: (rho K² + mu L) x − mu dᴴw = rho K t + mu p;    w: −mu d x + A w = mu q,
    A = mu (1 + L/2) + mu/2 b bᴴ, inverted by Sherman and Morrison's formula.
    """

    def __init__(self, xp: Any, shape: tuple[int, ...], kernel: Any, gradient: Gradient, rho: Any, mu: Any):
        self.xp, self.shape, self.kernel, self.rho, self.mu = xp, shape, kernel, rho, mu
        self.d, self.b = gradient.spectra(xp, shape)
        square = gradient.normal_spectrum(xp, shape)
        self.alpha = mu * (1 + square / 2)
        self.rank_one = mu / 2 / (self.alpha * (self.alpha + mu / 2 * square))
        bd = sum(xp.conj(b) * d for b, d in zip(self.b, self.d))
        through = square / self.alpha - self.rank_one * (bd.real**2 + bd.imag**2)
        inverse = rho * kernel * kernel + mu * square - mu * mu * through
        inverse[0, 0, 0] = 1
        self.inverse = 1 / inverse

    def _inverse_a(self, v: list[Any]) -> list[Any]:
        along = sum(self.xp.conj(b) * part for b, part in zip(self.b, v))
        along *= self.rank_one
        return [part / self.alpha - b * along for b, part in zip(self.b, v)]

    def solve(self, target: Any, pull: Any, pull_w: Any) -> tuple[Any, Any, Any]:
        """x, K*x and w (3, x, y, z)."""
        xp = self.xp
        right = rfftn(target)
        right *= self.rho * self.kernel
        right += self.mu * rfftn(pull)
        v = self._inverse_a([self.mu * rfftn(part) for part in pull_w])
        for d, part in zip(self.d, v):
            right += self.mu * (xp.conj(d) * part)
        right *= self.inverse
        right[0, 0, 0] = 0
        u = self._inverse_a([self.mu * (d * right) for d in self.d])
        w = xp.empty((3, *self.shape), dtype=np.float32)
        for i in range(3):
            u[i] += v[i]
            w[i] = irfftn(u[i], self.shape)
        model = irfftn(right * self.kernel, self.shape)
        return irfftn(right, self.shape), model, w
