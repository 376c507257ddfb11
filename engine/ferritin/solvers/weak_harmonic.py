"""ADMM for total variation with a second unknown that is nearly harmonic: fidelity(K*x + h, d) + λ|∇x| + ½β|∇²h|²."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.ops.gradient import Gradient
from ferritin.ops.slabs import each, slabs
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
    harmonic_penalty: float = 30.0

    def solve(self, xp: Any, gradient: Gradient, stop: Stopping) -> Any:
        """The minimiser x. Splits: y = K*x + h, z = ∇x, l = ∇ᵀ∇h; x and h are found together in k-space."""
        shape = self.data.shape
        rho, mu, nu = (np.float32(p) for p in (self.data_penalty, self.prior_penalty, self.harmonic_penalty))
        parts, laplacian = slabs(xp, shape), gradient.normal_spectrum(xp, shape)
        target, pull, bend, x, turn, data_dual, bend_dual = (xp.zeros(shape, np.float32) for _ in range(7))
        target += self.data
        dual = xp.zeros((3, *shape), np.float32)

        # [rho K² + mu L    rho K        ] [x]   [rho K t + mu p]
        # [rho K            rho + nu L²  ] [h] = [rho t + nu L b],  L the spectrum of ∇ᵀ∇
        def solve(s: slice, model: Any, curve: Any, new: Any) -> None:
            k, l = self.kernel[s], laplacian[s]
            own = rho + nu * l * l
            inverse = (rho * k**2 + mu * l) * own - (rho * k) ** 2
            inverse += inverse == 0
            seen, first, second = model[s], new[s], curve[s]
            seen *= rho
            first *= mu
            first += k * seen
            second *= nu * l
            second += seen
            first *= own
            first -= rho * k * second
            first /= inverse
            second -= rho * k * first
            second /= own
            xp.multiply(k, first, out=seen)
            seen += second
            second *= l

        while True:
            model = rfftn(target)
            del target
            new = rfftn(pull)
            del pull
            curve = rfftn(bend)
            del bend
            each(lambda s, m=model, c=curve, n=new: solve(s, m, c, n), slabs(xp, laplacian.shape))
            new[0, 0, 0] = 0
            target = irfftn(model, shape)
            del model
            bend = irfftn(curve, shape)
            del curve
            old, x = x, irfftn(new, shape)
            del new
            change = relative_change(xp, x, old) if stop.due else None
            del old
            if stop.step(change):
                return x

            def split(s: slice, target: Any = target, bend: Any = bend) -> None:
                f, u = target[s], data_dual[s]
                u += f
                self.fidelity(xp, u, self.data[s], self.fidelity.weighting(xp, self.weight[s]), rho, f)
                u -= f
                f -= u
                b, v = bend[s], bend_dual[s]
                v += b
                xp.multiply(v, nu / (nu + np.float32(self.stiffness) * self.inside[s]), out=b)
                v -= b
                b -= v

            each(split, parts)
            del split
            pull = xp.empty(shape, np.float32)
            variation(x, dual, turn, pull, None, self.step, limit=self.prior / self.prior_penalty)
            if not stop.due:
                x = None
