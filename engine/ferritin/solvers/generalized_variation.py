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
    """The problem on one periodic box; see TotalVariation for kernel, data, weight, step, fidelity and penalties.

    first, second : λ₁ and λ₀, numbers.
    """

    kernel: Any
    data: Any
    weight: Any
    first: float
    second: float
    step: tuple[float, float, float]
    fidelity: Fidelity
    prior_penalty: float
    data_penalty: float = 0.1

    def solve(self, xp: Any, stop: Stopping) -> Any:
        """The minimiser x. Splits: y = K*x, z = ∇x − w, e = Ew, both with the prior's penalty; x, w found together.

        Duals are projections, as in TotalVariation: neither z nor e is kept.
        """
        shape = self.data.shape
        rho, mu = np.float32(self.data_penalty), np.float32(self.prior_penalty)
        gradient, symmetric, parts = Gradient(self.step), SymmetricGradient(self.step), slabs(xp, shape)
        system = _System(xp, shape, self.kernel, gradient, rho, mu)
        limits = np.float32(self.first / self.prior_penalty), np.float32(self.second / self.prior_penalty)
        data_dual, x = xp.zeros(shape, np.float32), xp.zeros(shape, np.float32)
        dual, dual2 = (xp.zeros((n, *shape), dtype=np.float32) for n in (3, 6))
        volumes = [self.data.copy(), *(xp.zeros(shape, np.float32) for _ in range(4))]
        while True:
            volumes = system.solve(volumes)
            change = relative_change(xp, volumes[0], x) if stop.due else None
            x, target, w = volumes[0], volumes[1], volumes[2:]
            if stop.step(change):
                return x

            def split_data(s: slice, target: Any = target) -> None:
                f, u = target[s], data_dual[s]
                u += f
                self.fidelity(xp, u, self.data[s], self.fidelity.weighting(xp, self.weight[s]), rho, f)
                u -= f
                f -= u

            each(split_data, parts)
            pull, pull_w = xp.zeros(shape, np.float32), [xp.zeros(shape, np.float32) for _ in range(3)]

            def split_first(s: slice, x: Any = x, w: Any = w, pull: Any = pull, pull_w: Any = pull_w) -> None:
                q = gradient.on_slab(xp, x, s)
                for part, slope in zip(q, w):
                    part -= slope[s]
                _project(xp, q, dual[:, s], limits[0], (1, 1, 1))
                for part, slope in zip(q, pull_w):
                    slope[s] -= part
                gradient.add_adjoint_of_slab(xp, q, s, pull)

            def split_second(s: slice, w: Any = w, pull_w: Any = pull_w) -> None:
                q = symmetric.on_slab(xp, w, s)
                _project(xp, q, dual2[:, s], limits[1], (1, 1, 1, 2, 2, 2))
                symmetric.add_adjoint_of_slab(xp, q, s, pull_w)

            each(split_first, parts, neighbours=True)
            each(split_second, parts, neighbours=True)
            volumes = [target, pull, *pull_w]
            del split_data, split_first, split_second, target, pull, pull_w, w
            if not stop.due:
                x = None


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
        self.square = gradient.normal_parts(xp, shape)
        self.inverse = xp.empty_like(kernel)

        def fill(s: slice) -> None:
            d, b, square, alpha, rank_one = self._at(s)
            bd = sum(xp.conj(y) * x for x, y in zip(d, b))
            through = square / alpha - rank_one * (bd.real**2 + bd.imag**2)
            below = rho * kernel[s] * kernel[s] + mu * square - mu * mu * through
            if s.start == 0:
                below[0, 0, 0] = 1
            self.inverse[s] = 1 / below

        each(fill, slabs(xp, kernel.shape))

    def _at(self, s: slice) -> tuple[list[Any], list[Any], Any, Any, Any]:
        """d, b, L, and A as its diagonal and what its inverse takes off, at the planes s."""
        square = self.square((s, slice(None)))
        alpha = self.mu * (1 + square / 2)
        d, b = ([x[s] if x.shape[0] > 1 else x for x in vector] for vector in (self.d, self.b))
        return d, b, square, alpha, self.mu / 2 / (alpha * (alpha + self.mu / 2 * square))

    def solve(self, volumes: list[Any]) -> list[Any]:
        """x, K*x and the three of w from what K*x, ∇ and w are pulled to. Empties the list: each volume lives on as its
        spectrum alone, and is solved for in place."""
        spectra = []
        while volumes:
            spectra.append(rfftn(volumes.pop(0)))
        each(lambda s: self._solve([x[s] for x in spectra], s), slabs(self.xp, self.kernel.shape))
        spectra[:2] = spectra[1::-1]
        out = []
        while spectra:
            out.append(irfftn(spectra.pop(0), self.shape))
        return out

    def _solve(self, spectra: list[Any], s: slice) -> None:
        """Spectra at the planes s: the targets of K*x, ∇ᵀ∇x and w to K*x, x and w."""
        xp, (target, right, *v), kernel = self.xp, spectra, self.kernel[s]
        d, b, _, alpha, rank_one = self._at(s)

        def invert() -> None:
            """v to A⁻¹v."""
            along = sum(xp.conj(y) * part for y, part in zip(b, v))
            along *= rank_one
            for y, part in zip(b, v):
                part /= alpha
                part -= y * along

        right *= self.mu
        right += self.rho * kernel * target
        for part in v:
            part *= self.mu
        invert()
        for x, part in zip(d, v):
            right += self.mu * (xp.conj(x) * part)
        right *= self.inverse[s]
        if s.start == 0:
            right[0, 0, 0] = 0
        xp.multiply(right, kernel, out=target)
        # w = A⁻¹(mu q) + A⁻¹(mu d x): the first is in v already.
        first = [part.copy() for part in v]
        for x, part in zip(d, v):
            xp.multiply(self.mu * x, right, out=part)
        invert()
        for part, before in zip(v, first):
            part += before
