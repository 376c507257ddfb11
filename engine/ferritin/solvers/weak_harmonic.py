"""ADMM for total variation with a second unknown that is nearly harmonic: fidelity(K*x + h, d) + λ|∇x| + ½β|∇²h|²."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ferritin.ops.gradient import Gradient
from ferritin.ops.slabs import each, slabs
from ferritin.ops.sweep import Part, columns, planes_forward, planes_inverse
from ferritin.solvers.fidelity import Fidelity
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import relative_change
from ferritin_kernels import variation


@dataclass
class WeakHarmonic:
    """The problem on one periodic box; see TotalVariation for kernel, data, weight, step, fidelity and penalties.

    stiffness : β, one number.    inside : (x, y, z) bool, where h is stiff.    prior : λ, one number.
    """

    kernel: Any
    data: Any
    weight: Any
    stiffness: float
    inside: Any
    prior: float
    step: tuple[float, float, float]
    fidelity: Fidelity
    prior_penalty: float
    data_penalty: float = 0.1
    harmonic_penalty: float = 3.0

    def solve(self, xp: Any, gradient: Gradient, stop: Stopping) -> Any:
        """The minimiser x. Splits: y = K*x + h, z = ∇x, l = ∇ᵀ∇h; x and h are found together in k-space.

        A volume lives no longer than it is needed. Of the split of l one array is kept, the sum of l and its dual.
        """
        shape = self.data.shape
        solve = partial(self._solve_spectra, xp, gradient.normal_parts(xp, shape))
        target, pull, bend, x, turn, dual = (xp.zeros(shape, np.float32) for _ in range(6))
        target += self.data
        slope = xp.zeros((3, *shape), np.float32)
        while True:
            model = planes_forward(target, shape)
            del target
            new = planes_forward(pull, shape)
            del pull
            curve = planes_forward(bend, shape, self._bend_target)
            columns([model, new, curve], solve)
            planes_inverse(curve, shape, partial(self._split_bend, bend))
            del curve
            old, x = x, planes_inverse(new, shape)
            del new
            change = relative_change(xp, x, old) if stop.due else None
            del old
            if stop.step(change):
                return x
            target = planes_inverse(model, shape)
            del model
            self._split_data(xp, target, dual)
            pull = xp.empty(shape, np.float32)
            variation(x, slope, turn, pull, None, self.step, limit=self.prior / self.prior_penalty)
            if not stop.due:
                x = None

    def _solve_spectra(self, xp: Any, laplacian: Any, model: Any, new: Any, curve: Any, part: Part) -> None:
        """Spectra of the targets t, p, b of K*x + h, ∇ᵀ∇x, ∇ᵀ∇h to those of K*x + h, x, ∇ᵀ∇h, in place.

        [rho K² + mu L    rho K        ] [x]   [rho K t + mu p]
        [rho K            rho + nu L²  ] [h] = [rho t + nu L b],  L the spectrum of ∇ᵀ∇
        """
        rho, mu, nu = (np.float32(p) for p in (self.data_penalty, self.prior_penalty, self.harmonic_penalty))
        k, l = self.kernel[part], laplacian(part)
        own = rho + nu * l * l
        determinant = l * (mu * own + rho * nu * l * k * k)
        determinant[l == 0] = np.inf  # the mean of x is not seen by the data, and 0
        model *= rho
        curve *= nu * l
        curve += model
        new *= mu
        new += k * model
        new *= own
        new -= rho * k * curve
        new /= determinant
        curve -= rho * k * new
        curve /= own
        xp.multiply(k, new, out=model)
        model += curve
        curve *= l

    def _split_data(self, xp: Any, target: Any, dual: Any) -> None:
        """The proximal step of y, K*x + h to the next target of it in place."""
        rho = np.float32(self.data_penalty)

        def split(s: slice) -> None:
            f, u = target[s], dual[s]
            u += f
            self.fidelity(xp, u, self.data[s], self.fidelity.weighting(xp, self.weight[s]), rho, f)
            u -= f
            f -= u

        each(split, slabs(xp, target.shape))

    def _split_bend(self, bend: Any, s: slice, new: Any) -> None:
        """The dual of l, of which `bend` is the sum with l, plus the new ∇ᵀ∇h: the next sum, at the planes s."""
        here = bend[s]
        here -= self._yield(s) * here
        here += new

    def _bend_target(self, s: slice, bend: Any) -> Any:
        """l less its dual, at the planes s."""
        return (2 * self._yield(s) - 1) * bend

    def _yield(self, s: slice) -> Any:
        """The share of the sum of l and its dual that is l: little where h is stiff, all elsewhere."""
        nu = np.float32(self.harmonic_penalty)
        return nu / (nu + np.float32(self.stiffness) * self.inside[s])
