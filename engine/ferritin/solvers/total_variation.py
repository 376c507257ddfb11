"""ADMM for a convolution with a total-variation prior: min over x of fidelity(K*x, d) + Σ λ(r)|∇x|."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.ops.gradient import Gradient
from ferritin.solvers.fidelity import Fidelity, Squared
from ferritin.solvers.reduction import dot
from ferritin.solvers.slabs import each, slabs
from ferritin.solvers.stopping import Stopping

REJECT_AT = (15, 25)
"""Iterations after which misfit voxels are weighed anew: late enough for a misfit that means something."""


@dataclass
class TotalVariation:
    """The problem's arrays, all on one periodic box.

    kernel : half spectrum of K, real.            data : d, (x, y, z) float32.
    weight : w, (x, y, z) float32; 0 = unknown.    prior : λ, (x, y, z) float32, in the unit of x.
    step : lengths that differences are divided by, one per axis; 1 on isotropic voxels.
    data_penalty, prior_penalty : of the splits y = K*x and z = ∇x. They change the way, not the solution.
    fidelity : penalty of the misfit K*x − d; its weight is w.
    reject : misfits beyond so many robust standard deviations lose weight by (reject/misfit)²; None keeps all.
    """

    kernel: Any
    data: Any
    weight: Any
    prior: Any
    step: tuple[float, float, float]
    data_penalty: float = 0.03
    prior_penalty: float = 0.03
    fidelity: Fidelity = field(default_factory=Squared)
    reject: float | None = None

    def solve(self, xp: Any, stop: Stopping, start: Any = None) -> tuple[Any, Any]:
        """The minimiser x, and K*x. `stop` watches the relative change of x; `start` is a first guess.

        The dual of z is the projection of q = ∇x + dual onto |·| ≤ λ/penalty, and z − dual = q − 2·dual: z is not kept.
        """
        shape = self.data.shape
        rho, mu = np.float32(self.data_penalty), np.float32(self.prior_penalty)
        gradient, parts = Gradient(self.step), slabs(xp, shape)
        inverse = self._inverse(xp, gradient)
        radius, weight = self.prior * (1 / mu), self.fidelity.weighting(xp, self.weight)
        dual = xp.zeros((3, *shape), dtype=np.float32)
        data_dual = xp.zeros(shape, dtype=np.float32)
        target, pull, x = self._first(xp, gradient, start)
        while True:
            spectrum = rfftn(target)
            spectrum *= rho * self.kernel
            spectrum += mu * rfftn(pull)
            spectrum *= inverse
            model = irfftn(spectrum * self.kernel, shape)
            new = irfftn(spectrum, shape)
            change = relative_change(xp, new, x) if stop.due else None
            x = new
            if stop.step(change):
                return x, model
            if self.reject is not None and stop.done in REJECT_AT:
                weight = self._reweighted(xp, model)

            def split_data(s: slice, model: Any = model, weight: Any = weight) -> None:
                f, t, u = model[s], target[s], data_dual[s]
                f += u
                self.fidelity(xp, f, self.data[s], weight[s], rho, t)
                xp.subtract(f, t, out=u)
                t -= u

            each(split_data, parts)
            pull[...] = 0
            each(lambda s, x=x: split_prior(xp, gradient, x, dual, radius, pull, s), parts, neighbours=True)

    def _first(self, xp: Any, gradient: Gradient, start: Any) -> tuple[Any, Any, Any]:
        """Targets of K*x and of ∇ᵀ∇x, and x, before the first iteration."""
        if start is None:
            return self.data.copy(), xp.zeros_like(self.data), xp.zeros_like(self.data)
        spectrum = rfftn(start)
        spectrum *= self.kernel
        return irfftn(spectrum, start.shape), gradient.adjoint(xp, gradient(xp, start)), start

    def _inverse(self, xp: Any, gradient: Gradient) -> Any:
        """Half spectrum of (rho·K² + mu·∇ᵀ∇)⁻¹, 1 where the sum is 0: there, what it multiplies is 0."""
        total = gradient.normal_spectrum(xp, self.data.shape)
        total *= np.float32(self.prior_penalty)
        total += np.float32(self.data_penalty) * self.kernel * self.kernel
        total += total == 0
        return 1 / total

    def _reweighted(self, xp: Any, model: Any) -> Any:
        """The fidelity's weights after the rejection of misfit voxels (Liu T, et al. MRM 2013;69:467, MERIT)."""
        misfit = abs((self.data - model) * self.weight)
        spread = 1.4826 * xp.median(misfit[self.weight > 0])
        misfit /= xp.maximum(self.reject * spread, np.float32(1e-30))
        return self.fidelity.weighting(xp, self.weight / xp.maximum(misfit, 1) ** 2)


def split_prior(xp: Any, gradient: Gradient, x: Any, dual: Any, radius: Any, pull: Any, s: slice) -> None:
    """On one slab: dual ← projection of q = ∇x + dual onto |·| ≤ radius; pull += ∇ᵀ(q − 2·dual)."""
    q = gradient.on_slab(xp, x, s)
    q += dual[:, s]
    size = q[0] * q[0]
    size += q[1] * q[1]
    size += q[2] * q[2]
    xp.sqrt(size, out=size)
    xp.maximum(size, radius[s], out=size)
    xp.divide(radius[s], size, out=size)
    xp.multiply(q, size, out=dual[:, s])
    q -= dual[:, s]
    q -= dual[:, s]
    gradient.add_adjoint_of_slab(xp, q, s, pull)


def relative_change(xp: Any, new: Any, old: Any) -> Any:
    """‖new − old‖/‖new‖."""
    difference = new - old
    return xp.sqrt(dot(xp, difference, difference) / xp.maximum(dot(xp, new, new), 1e-30))
