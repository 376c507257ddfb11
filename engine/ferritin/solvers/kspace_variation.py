"""ADMM for total variation with a quadratic misfit that is diagonal in k-space: two transforms an iteration."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.ops.gradient import Gradient
from ferritin.ops.sweep import Part, filtered
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import relative_change
from ferritin_kernels import variation


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
    penalty = np.float32(penalty)
    inverse = Gradient(step).normal_spectrum(xp, shape)
    inverse *= penalty
    inverse += precision
    inverse += inverse == 0
    xp.divide(1, inverse, out=inverse)
    fixed = spectrum * precision
    fixed *= inverse
    inverse *= penalty
    dual, turn, pull = xp.zeros((3, *shape), np.float32), xp.zeros(shape, np.float32), xp.zeros(shape, np.float32)
    x = xp.zeros(shape, dtype=np.float32)

    def solve(total: Any, part: Part) -> None:
        total *= inverse[part]
        total += fixed[part]

    while True:
        old, x = x, filtered(pull, shape, solve)
        del pull
        change = relative_change(xp, x, old) if stop.due else None
        del old
        if stop.step(change):
            return x
        pull = xp.empty(shape, np.float32)
        variation(x, dual, turn, pull, None, step, limit=radius)
        if not stop.due:
            x = None
