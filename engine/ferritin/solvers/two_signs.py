"""ADMM for two maps of opposite sign: a convolution sees their sum, a local measure sees how far they are apart.

min over p >= 0 >= m of ½‖w(K*(p + m) − d)‖² + ½‖v(a·p − b·m − r)‖² + Σ λ(|∇p| + |∇m|)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.ops.gradient import Gradient
from ferritin.ops.slabs import each, slabs
from ferritin.solvers.reduction import dot
from ferritin.solvers.stopping import Stopping
from ferritin_kernels import variation


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
        """The minimisers p and m; `stop` watches the relative change of both together.

        Each split keeps its scaled dual; what the next solution is pulled to is split variable less dual. The model
        becomes the target in place.
        """
        shape = self.data.shape
        of_sum, of_difference = self._inverses(xp)
        sign_duals, turns = xp.zeros((2, *shape), np.float32), xp.zeros((2, *shape), np.float32)
        duals, data_dual = xp.zeros((2, 3, *shape), np.float32), xp.zeros(shape, np.float32)
        target, pulls, maps = self.data.copy(), list(xp.zeros((2, *shape), np.float32)), tuple(turns)
        while True:
            if not stop.due:
                maps = None  # nobody asks how far they moved
            target, new = self._solution(target, pulls, of_sum, of_difference)
            change = self._change(xp, new, maps) if stop.due else None
            maps = new
            if stop.step(change):
                return xp.maximum(maps[0], np.float32(0)), xp.minimum(maps[1], np.float32(0))
            pulls = [xp.empty(shape, np.float32) for _ in maps]

            def split(s: slice, target: Any = target, maps: Any = maps, pulls: Any = pulls) -> None:
                self._split_data(target[s], data_dual[s], s)
                at = xp.stack((maps[0][s], maps[1][s])) + sign_duals[:, s]
                signed = self._signed(xp, at, s, np.float32(self.sign_penalty))
                sign_duals[:, s] = at - signed
                for pull, pair in zip(pulls, np.float32(self.sign_penalty) * (2 * signed - at)):
                    pull[s] = pair

            each(split, slabs(xp, shape))
            tension = xp.empty(shape, np.float32)
            for x, dual, turn, pull in zip(maps, duals, turns, pulls):
                variation(x, dual, turn, tension, self.prior, self.step, limit=1 / self.prior_penalty)
                tension *= np.float32(self.prior_penalty)
                pull += tension

    def _solution(self, target: Any, pulls: list[Any], of_sum: Any, of_difference: Any) -> tuple[Any, tuple[Any, Any]]:
        """K*(p + m), and p and m, of the quadratic problem that the targets pose. Empties `pulls`."""
        shape = self.data.shape
        plus, minus = rfftn(pulls.pop()), rfftn(pulls.pop())  # of m, of p
        plus += minus
        minus *= 2
        minus -= plus
        seen = rfftn(target)
        seen *= np.float32(2 * self.data_penalty) * self.kernel
        plus += seen
        plus *= of_sum
        minus *= of_difference
        model = irfftn(plus * self.kernel, shape)
        plus *= np.float32(0.5)
        minus *= np.float32(0.5)
        return model, (irfftn(plus + minus, shape), irfftn(plus - minus, shape))

    def _split_data(self, f: Any, u: Any, s: slice) -> None:
        """On one slab: the model f becomes the target, u the dual."""
        rho, weight = np.float32(self.data_penalty), self.weight[s]
        u += f
        f[...] = (rho * u + weight * self.data[s]) / (rho + weight)
        u -= f
        f -= u

    def _inverses(self, xp: Any) -> tuple[Any, Any]:
        """Half spectra of the inverse operators on p + m and on p − m."""
        smooth = Gradient(self.step).normal_spectrum(xp, self.data.shape)
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
