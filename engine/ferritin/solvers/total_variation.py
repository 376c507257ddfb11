"""ADMM for a convolution with a total-variation prior: min over x of fidelity(K*x, d) + Σ λ(r)|∇x|."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.ops.gradient import Gradient
from ferritin.ops.slabs import each, slabs
from ferritin.solvers.fidelity import Fidelity, Squared
from ferritin.solvers.reduction import dot
from ferritin.solvers.stopping import Stopping
from ferritin_kernels import variation

REJECT_AT = (15, 25)
"""Iterations after which misfit voxels are weighed anew: late enough for a misfit that means something."""
RELAX = np.float32(1.8)
"""Over-relaxation of both splits: a third to a half of the iterations less than without, for one more proximal step."""


@dataclass
class TotalVariation:
    """The problem's arrays, all on one periodic box.

    kernel : half spectrum of K, real.            data : d, (x, y, z) float32.
    weight : w, (x, y, z) float32; 0 = unknown.    prior : λ, (x, y, z) float32, in the unit of x.
    step : lengths that differences are divided by, one per axis; 1 on isotropic voxels.
    prior_penalty, data_penalty : of the splits z = ∇x and y = K*x. They change the way, not the solution: λ over the
        standard deviation of the data, and 0.1 for weights of mean square 1, need few iterations.
    fidelity : penalty of the misfit K*x − d; its weight is w.
    reject : misfits beyond so many robust standard deviations lose weight by (reject/misfit)²; None keeps all.
    least_spread : the standard deviation is taken as no smaller than this.
    revisions : by iteration, what is called with x after it and may change the prior in place.
    """

    kernel: Any
    data: Any
    weight: Any
    prior: Any
    step: tuple[float, float, float]
    prior_penalty: float
    data_penalty: float = 0.1
    fidelity: Fidelity = field(default_factory=Squared)
    reject: float | None = None
    least_spread: float = 0.0
    revisions: dict[int, Callable[[Any], None]] = field(default_factory=dict)

    def solve(self, xp: Any, stop: Stopping, start: Any = None) -> tuple[Any, Any]:
        """The minimiser x, and K*x. `stop` watches the relative change of x; `start` is a first guess.

        Both splits are over-relaxed, and of each one array is kept, the sum of the split variable and its dual: the
        next x is pulled to the sum less twice the dual. The dual of z is the projection of that sum onto |·| ≤
        λ/penalty. A volume lives no longer than it is needed, and the model becomes the target in place.
        """
        shape, weight = self.data.shape, self.weight
        rho, limit = np.float32(self.data_penalty), 1 / self.prior_penalty
        inverse = self._inverse(xp)
        split, keep = xp.zeros((3, *shape), np.float32), xp.zeros(shape, np.float32)
        target, pull, x = self._first(xp, start)
        data_split = target.copy()
        del start
        while True:
            spectrum = rfftn(target)
            del target
            seen = rfftn(pull)
            del pull
            self._solve_spectra(xp, inverse, spectrum, seen)
            target = irfftn(seen, shape)
            del seen
            old, x = x, irfftn(spectrum, shape)
            del spectrum
            change = relative_change(xp, x, old) if stop.due else None
            del old
            if stop.step(change):
                return x, target
            if self.reject is not None and stop.done in REJECT_AT:
                weight = self._reweighted(xp, target)
            if stop.done in self.revisions:
                self.revisions[stop.done](x)
            pull = xp.empty(shape, np.float32)

            def split_data(s: slice, target: Any = target, weight: Any = weight, pull: Any = pull) -> None:
                f, v, y = target[s], data_split[s], pull[s]
                w = self.fidelity.weighting(xp, weight[s])
                self.fidelity(xp, v, self.data[s], w, rho, y)
                f -= y
                f *= RELAX
                v += f
                self.fidelity(xp, v, self.data[s], w, rho, f)
                f *= 2
                f -= v

            each(split_data, slabs(xp, shape))
            del split_data
            variation(x, split, keep, pull, self.prior, self.step, limit=limit, relax=RELAX)
            if not stop.due:
                x = None

    def _first(self, xp: Any, start: Any) -> tuple[Any, Any, Any]:
        """Targets of K*x and of ∇ᵀ∇x, and x, before the first iteration."""
        if start is None:
            return self.data.copy(), xp.zeros_like(self.data), xp.zeros_like(self.data)
        spectrum, pull = rfftn(start), xp.zeros_like(start)
        spectrum *= self.kernel
        Gradient(self.step).add_normal(xp, start, lambda g, s: None, pull)
        return irfftn(spectrum, start.shape), pull, start

    def _inverse(self, xp: Any) -> Any:
        """Half spectrum of (rho·K² + mu·∇ᵀ∇)⁻¹, 1 where the sum is 0: there, what it multiplies is 0."""
        total = Gradient(self.step).normal_spectrum(xp, self.data.shape)

        def add(s: slice) -> None:
            t, k = total[s], self.kernel[s]
            t *= np.float32(self.prior_penalty)
            t += np.float32(self.data_penalty) * k * k
            t += t == 0
            xp.divide(1, t, out=t)

        each(add, slabs(xp, total.shape))
        return total

    def _solve_spectra(self, xp: Any, inverse: Any, spectrum: Any, seen: Any) -> None:
        """Spectra of the targets of K*x and ∇ᵀ∇x to those of x and of K*x, in place."""
        rho, mu = np.float32(self.data_penalty), np.float32(self.prior_penalty)

        def solve(s: slice) -> None:
            x, y, k = spectrum[s], seen[s], self.kernel[s]
            x *= rho * k
            y *= mu
            x += y
            x *= inverse[s]
            xp.multiply(x, k, out=y)

        each(solve, slabs(xp, spectrum.shape))

    def _reweighted(self, xp: Any, model: Any) -> Any:
        """The data weights after the rejection of misfit voxels (Liu T, et al. MRM 2013;69:467, MERIT)."""
        misfit = self.data - model
        misfit *= self.weight
        xp.abs(misfit, out=misfit)
        spread = 1.4826 * xp.median(misfit[self.weight > 0])
        spread = xp.maximum(spread, np.float32(max(self.least_spread, 1e-30)))
        misfit /= (self.reject * spread).astype(np.float32)
        xp.maximum(misfit, 1, out=misfit)
        misfit *= misfit
        xp.divide(self.weight, misfit, out=misfit)
        return misfit


def relative_change(xp: Any, new: Any, old: Any) -> Any:
    """‖new − old‖/‖new‖; old is overwritten."""
    xp.subtract(new, old, out=old)
    return xp.sqrt(dot(xp, old, old) / xp.maximum(dot(xp, new, new), 1e-30))
