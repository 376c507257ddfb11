"""ADMM for total variation with a quadratic misfit that is diagonal in k-space: two transforms an iteration."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.ops.gradient import Gradient
from ferritin.solvers.slabs import each, slabs
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import relative_change, split_prior


def kspace_variation(
    xp: Any,
    precision: Any,
    spectrum: Any,
    shape: tuple[int, int, int],
    radius: float,
    penalty: float,
    step: tuple[float, float, float],
    stop: Stopping,
) -> Any:
    """x that minimises ½Σ precision·|x̂ − spectrum|² + penalty·radius·‖∇x‖; `stop` watches the relative change of x.

    precision, spectrum: half spectra, real and complex. radius: the split's shrinkage; penalty: of the split z = ∇x.
    """
    gradient, parts, penalty = Gradient(step), slabs(xp, shape), np.float32(penalty)
    inverse = penalty * gradient.normal_spectrum(xp, shape) + precision
    inverse += inverse == 0
    xp.divide(1, inverse, out=inverse)
    fixed = spectrum * precision
    limit = xp.full(shape, np.float32(radius))
    dual, pull = xp.zeros((3, *shape), dtype=np.float32), xp.zeros(shape, dtype=np.float32)
    x = xp.zeros(shape, dtype=np.float32)
    while True:
        total = rfftn(pull)
        total *= penalty
        total += fixed
        total *= inverse
        new = irfftn(total, shape)
        change = relative_change(xp, new, x) if stop.due else None
        x = new
        if stop.step(change):
            return x
        pull[...] = 0
        each(lambda s, x=x: split_prior(xp, gradient, x, dual, limit, pull, s), parts, neighbours=True)
