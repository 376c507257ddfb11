"""The inversion that the chain stands on: sources inside and outside the mask at once, under total variation.

A field in the mask does not say which of its harmonic parts come from outside. Sources are therefore allowed in the
whole box, and those outside the mask cost next to nothing: they take what no sparse map inside explains. The field to
be explained may hold any amount of background, but the iteration finds small ones fast and large ones slowly: remove
most of it before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.edges import edge_weight, mean_magnitude
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import relative_step
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import TotalVariation

PER_NOISE_VARIANCE = 65.0
"""λ over the noise variance [1/ppm]: the reciprocal of the typical step of chi between neighbours under the prior. For
noise maps that hold the whole error of the field; one of thermal noise alone makes λ rather small."""
WITHOUT_NOISE_MAP = 1e-4
"""λ [ppm] when nothing is known of the noise: smaller ones find the sources outside the mask too slowly."""
PENALTIES, PENALTIES_OUTER = (0.1, 1.0), (0.01, 0.35)
"""Penalties of the splits: of the field, for data weights of mean square 1, and of the gradient over λ/sd(field). They
change the way, not the goal: strong outer sources are found in fewer iterations by lower ones."""
LEAST_SPREAD = 1e-3
"""Misfits are not rejected for being large beside a spread below this [ppm]: that is the model's error on the grid."""
OUTSIDE = 1e-5
"""λ [ppm] outside the mask is no larger than this: what is left of a background has a size of its own, which does not
shrink with the noise."""


def sparse_sources(
    problem: Problem,
    stop: Stopping,
    *,
    field_noise: Any = None,
    s0: Any = None,
    r2star: Any = None,
    lambda_: float | str = "auto",
    outside: float | str = "auto",
    edges: float | None = 2.5,
    reject: float | None = 3.0,
) -> tuple[Any, tuple[str, ...]]:
    """chi [ppm] on the problem's whole box, and notes for the record. Parameters as those of `dipole.tv`."""
    xp, scan = problem.xp, problem.scan
    weight, noise = problem.weights(field_noise)
    notes = []
    if lambda_ == "auto":
        lambda_ = WITHOUT_NOISE_MAP if noise is None else PER_NOISE_VARIANCE * noise**2
        why = "no noise map" if noise is None else f"noise {1e3 * noise:.3g} ppb by its map"
        notes.append(f"lambda = {lambda_:.3g} ppm ({why})")
    if not lambda_ > 0 or not (outside == "auto" or 0 < outside <= 1):
        raise ParameterError(f"lambda = {lambda_}, outside = {outside}; expected lambda > 0 and outside in (0, 1]")
    share = min(1.0, OUTSIDE / lambda_) if outside == "auto" else outside
    prior = xp.where(problem.inside, np.float32(lambda_), np.float32(lambda_ * share))
    if edges is not None:
        if s0 is None or r2star is None:
            notes.append("no edges from the magnitude: s0 and r2star were not given")
        else:
            magnitude = problem.box.crop(mean_magnitude(xp, s0, r2star, scan.te_s))
            prior *= edge_weight(xp, magnitude, problem.inside, scan.voxel_mm, edges)
            del magnitude

    data_penalty, prior_penalty = PENALTIES_OUTER if share < 0.05 else PENALTIES
    solver = TotalVariation(
        problem.dipole.kernel,
        problem.field,
        weight,
        prior,
        relative_step(scan.voxel_mm),
        data_penalty=data_penalty,
        prior_penalty=prior_penalty * lambda_ / max(_spread(problem, problem.field), 1e-9),
        reject=reject,
        least_spread=LEAST_SPREAD,
    )
    return solver.solve(xp, stop)[0], tuple(notes)


def _spread(problem: Problem, field: Any) -> float:
    count = problem.inside.sum()
    mean = (field * problem.inside).sum(dtype=np.float64) / count
    return float((field * field * problem.inside).sum(dtype=np.float64) / count - mean * mean) ** 0.5
