"""ADMM for two maps of opposite sign: a convolution sees their sum, a local measure sees how far they are apart.

min over p >= 0 >= m of ½‖w(K*(p + m) − d)‖² + ½‖v(a·p − b·m − r)‖² + Σ λ(|∇p| + |∇m|)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.ops.gradient import Gradient
from ferritin.solvers.reduction import dot
from ferritin.solvers.slabs import each, slabs
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import split_prior


@dataclass
class TwoSigns:
    """The problem's arrays, all on one periodic box.

    kernel : half spectrum of K, real.         data : d, (x, y, z) float32.    weight : w² of the misfit of the sum.
    distance : r, (x, y, z) float32.           certainty : v².                 gains : a, b.
    prior : λ, (x, y, z) float32.              step : lengths that differences are divided by, one per axis.
    data_penalty, prior_penalty, sign_penalty : of the splits of K*(p + m), of the gradients and of (p, m) itself. They
        change the way, not the solution.
    """

    kernel: Any
    data: Any
    weight: Any
    distance: Any
    certainty: Any
    gains: tuple[float, float]
    prior: Any
    step: tuple[float, float, float]
    data_penalty: float = 0.03
    prior_penalty: float = 0.03
    sign_penalty: float = 0.01

    def solve(self, xp: Any, stop: Stopping) -> tuple[Any, Any]:
        """The minimisers p and m; `stop` watches the relative change of both together."""
        shape, gradient = self.data.shape, Gradient(self.step)
        rho, mu, nu = (np.float32(x) for x in (self.data_penalty, self.prior_penalty, self.sign_penalty))
        parts, radius = slabs(xp, shape), self.prior * (1 / mu)
        of_sum, of_difference = self._inverses(xp, gradient)
        target, data_dual = self.data.copy(), xp.zeros(shape, np.float32)
        pulls, sign_duals = (xp.zeros((2, *shape), np.float32) for _ in range(2))
        maps = tuple(pulls)
        duals = xp.zeros((2, 3, *shape), np.float32)
        while True:
            field_part = rfftn(target)
            field_part *= rho * self.kernel
            plus, minus = (rfftn(pull) for pull in pulls)
            plus, minus = (plus + minus), (plus - minus)
            plus += 2 * field_part
            plus *= of_sum
            minus *= of_difference
            model = irfftn(plus * self.kernel, shape)
            new = (irfftn((plus + minus) * np.float32(0.5), shape), irfftn((plus - minus) * np.float32(0.5), shape))
            change = self._change(xp, new, maps) if stop.due else None
            maps = new
            if stop.step(change):
                return xp.maximum(maps[0], np.float32(0)), xp.minimum(maps[1], np.float32(0))

            def split(s: slice, model: Any = model, maps: Any = maps) -> None:
                model[s] += data_dual[s]
                target[s] = (rho * model[s] + self.weight[s] * self.data[s]) / (rho + self.weight[s])
                data_dual[s] = model[s] - target[s]
                target[s] -= data_dual[s]
                at = xp.stack((maps[0][s], maps[1][s])) + sign_duals[:, s]
                signed = self._signed(xp, at, s, nu)
                sign_duals[:, s] = at - signed
                pulls[:, s] = nu * (2 * signed - at)

            each(split, parts)
            for x, dual, pull in zip(maps, duals, pulls):
                tension = xp.zeros(shape, np.float32)
                each(
                    lambda s, x=x, dual=dual, out=tension: split_prior(xp, gradient, x, dual, radius, out, s),
                    parts,
                    neighbours=True,
                )
                tension *= mu
                pull += tension

    def _inverses(self, xp: Any, gradient: Gradient) -> tuple[Any, Any]:
        """Half spectra of the inverse operators on p + m and on p − m."""
        smooth = gradient.normal_spectrum(xp, self.data.shape)
        smooth *= np.float32(self.prior_penalty)
        smooth += np.float32(self.sign_penalty)
        return 1 / (smooth + np.float32(2 * self.data_penalty) * self.kernel * self.kernel), 1 / smooth

    def _signed(self, xp: Any, at: Any, s: slice, nu: Any) -> Any:
        """The pair of right signs that minimises ν/2·‖(p, m) − at‖² + v²/2·(a·p − b·m − r)², in every voxel.

        Where the free minimum has a wrong sign, the best pair has a 0: the better of both sides is taken.
        """
        a, b = (np.float32(g) for g in self.gains)
        r, c, zero = self.distance[s], self.certainty[s], np.float32(0)
        p, m = at
        pull = c * (r - a * p + b * m) / (nu + c * (a * a + b * b))
        free = xp.stack((p + a * pull, m - b * pull))
        alone_p = xp.maximum((nu * p + c * a * r) / (nu + c * a * a), zero)
        alone_m = xp.minimum((nu * m - c * b * r) / (nu + c * b * b), zero)

        def cost(x: Any, y: Any) -> Any:
            return nu * ((x - p) ** 2 + (y - m) ** 2) + c * (a * x - b * y - r) ** 2

        first = cost(alone_p, zero) <= cost(zero, alone_m)
        right = (free[0] >= 0) & (free[1] <= 0)
        return xp.stack(
            (
                xp.where(right, free[0], xp.where(first, alone_p, zero)),
                xp.where(right, free[1], xp.where(first, zero, alone_m)),
            )
        )

    @staticmethod
    def _change(xp: Any, new: tuple[Any, Any], old: Any) -> Any:
        """‖new − old‖/‖new‖ over both maps."""
        moved = sum(dot(xp, d, d) for d in (x - y for x, y in zip(new, old)))
        return xp.sqrt(moved / xp.maximum(sum(dot(xp, x, x) for x in new), 1e-30))
