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
from ferritin.inversion.noise import noise_level
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import relative_step
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import TotalVariation

PER_NOISE_VARIANCE = 110.0
"""λ over the noise variance [1/ppm]: the reciprocal of the typical step of chi between neighbours under the prior."""


def sparse_sources(
    problem: Problem,
    stop: Stopping,
    *,
    field_noise: Any = None,
    s0: Any = None,
    r2star: Any = None,
    lambda_: float | str = "auto",
    outside: float = 0.003,
    edges: float | None = 1.4,
    reject: float | None = 3.0,
) -> tuple[Any, tuple[str, ...]]:
    """chi [ppm] on the problem's whole box, and notes for the record. Parameters as those of `dipole.tv`."""
    xp, scan = problem.xp, problem.scan
    weight, noise = problem.weights(field_noise)
    notes = []
    if lambda_ == "auto":
        noise, why = noise_level(problem, noise)
        lambda_ = PER_NOISE_VARIANCE * noise**2
        notes.append(f"lambda = {lambda_:.3g} ppm ({why})")
    if not lambda_ > 0 or not 0 < outside <= 1:
        raise ParameterError(f"lambda = {lambda_}, outside = {outside}; expected lambda > 0 and outside in (0, 1]")
    prior = xp.where(problem.inside, np.float32(lambda_), np.float32(lambda_ * outside))
    if edges is not None:
        if s0 is None or r2star is None:
            notes.append("no edges from the magnitude: s0 and r2star were not given")
        else:
            magnitude = problem.box.crop(mean_magnitude(xp, s0, r2star, scan.te_s))
            prior *= edge_weight(xp, magnitude, problem.inside, scan.voxel_mm, edges)
    solver = TotalVariation(
        problem.dipole.kernel, problem.field, weight, prior, relative_step(scan.voxel_mm), reject=reject
    )
    return solver.solve(xp, stop)[0], tuple(notes)
