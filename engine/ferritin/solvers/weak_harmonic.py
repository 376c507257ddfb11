"""ADMM for total variation with a second unknown that is nearly harmonic: fidelity(K*x + h, d) + λ|∇x| + ½β|∇²h|²."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.ops.gradient import Gradient
from ferritin.solvers.fidelity import Fidelity
from ferritin.solvers.slabs import each, slabs
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import relative_change, split_prior


@dataclass
class WeakHarmonic:
    """The problem on one periodic box; see TotalVariation for kernel, data, weight, step and fidelity.

    stiffness : β, (x, y, z) float32, 0 where h is free.    prior : λ, one number.
    """

    kernel: Any
    data: Any
    weight: Any
    stiffness: Any
    prior: float
    step: tuple[float, float, float]
    fidelity: Fidelity
    data_penalty: float = 0.03
    prior_penalty: float = 0.03
    harmonic_penalty: float = 3.0

    def solve(self, xp: Any, gradient: Gradient, stop: Stopping) -> Any:
        """The minimiser x. Splits: y = K*x + h, z = ∇x, l = ∇ᵀ∇h; x and h are found together in k-space."""
        shape = self.data.shape
        rho, mu, nu = (np.float32(p) for p in (self.data_penalty, self.prior_penalty, self.harmonic_penalty))
        parts, laplacian = slabs(xp, shape), gradient.normal_spectrum(xp, shape)
        weight = self.fidelity.weighting(xp, self.weight)
        radius = xp.full(shape, np.float32(self.prior / self.prior_penalty))
        zeros = xp.zeros_like(self.data)
        target, pull, bend, x = self.data.copy(), zeros.copy(), zeros.copy(), zeros.copy()
        data_dual, bend_dual, dual = zeros.copy(), zeros, xp.zeros((3, *shape), dtype=np.float32)
        # [rho K² + mu L    rho K        ] [x]   [rho K t + mu p]
        # [rho K            rho + nu L²  ] [h] = [rho t + nu L b],  L the spectrum of ∇ᵀ∇
        own = rho + nu * laplacian * laplacian
        inverse = (rho * self.kernel**2 + mu * laplacian) * own - (rho * self.kernel) ** 2
        inverse[0, 0, 0] = 1
        inverse = 1 / inverse
        while True:
            seen = rho * rfftn(target)
            first = mu * rfftn(pull)
            first += self.kernel * seen
            second = nu * laplacian * rfftn(bend)
            second += seen
            spectrum = (own * first - rho * self.kernel * second) * inverse
            spectrum[0, 0, 0] = 0
            harmonic = (second - rho * self.kernel * spectrum) / own
            model = irfftn(self.kernel * spectrum + harmonic, shape)
            curve = irfftn(laplacian * harmonic, shape)
            new = irfftn(spectrum, shape)
            change = relative_change(xp, new, x) if stop.due else None
            x = new
            if stop.step(change):
                return x

            def split(s: slice, model: Any = model, curve: Any = curve) -> None:
                f, t, u = model[s], target[s], data_dual[s]
                f += u
                self.fidelity(xp, f, self.data[s], weight[s], rho, t)
                xp.subtract(f, t, out=u)
                t -= u
                c, b, v = curve[s], bend[s], bend_dual[s]
                c += v
                xp.multiply(c, nu / (nu + self.stiffness[s]), out=b)
                xp.subtract(c, b, out=v)
                b -= v

            each(split, parts)
            pull[...] = 0
            each(lambda s, x=x: split_prior(xp, gradient, x, dual, radius, pull, s), parts, neighbours=True)
