"""The inversion that the chain stands on: sources inside and outside the mask at once, under total variation.

A field in the mask does not say which of its harmonic parts come from outside. Sources are therefore allowed in the
whole box, and those outside the mask cost next to nothing: they take what no sparse map inside explains. The field to
be explained may hold any amount of background, but the iteration finds small ones fast and large ones slowly: remove
most of it before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.errors import ParameterError
from ferritin.inversion.edges import ease_at_own_edges, edge_weight, mean_magnitude
from ferritin.inversion.noise import noise_level
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import relative_step
from ferritin.ops.slabs import multiply
from ferritin.ops.smv import depth_mm
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import TotalVariation

PER_NOISE_VARIANCE = 62.0
"""λ over the noise variance [1/ppm]: the reciprocal of the typical step of chi between neighbours under the prior."""
LEAST = 7e-4
"""The least automatic λ, over the field's standard deviation: with less, the iterations do not get there."""
WITHOUT_NOISE_MAP = 1e-4
"""λ [ppm] when nothing is known of the noise: smaller ones find the sources outside the mask too slowly."""
PENALTIES, PENALTIES_OUTER = (0.1, 1.0), (0.01, 0.35)
"""Penalties of the splits: of the field, for data weights of mean square 1, and of the gradient over λ/sd(field). They
change the way, not the goal: strong outer sources are found in fewer iterations by lower ones."""
LEAST_SPREAD = 1e-3
"""Misfits are not rejected for being large beside a spread below this [ppm]: that is the model's error on the grid."""
PRICE_AT, EDGES_AT = 15, 30
"""Iterations after which outer sources get their price, and the map's own edges ease the prior: the first need only the
far field, the second a map whose edges are where they stay."""
FREE, DEAR = 0.003, 2.0
"""λ outside the mask relative to inside: where some of the background is left in the field, and where none is."""
BORDER = 0.1
"""λ across the border of the mask relative to inside where no background is left. Tissue ends there, with a step in chi
that is no more than the choice of a reference: shrinking it costs a slow wave inside."""
NEAR_MM = 8.0
"""Sources closer to the mask may stand for those inside it, or for the noise of the rim; the field of farther ones is
smooth, and they tell of background."""
STRUCTURE, PER_NOISE, DOUBT, MOST_NOISE = 0.065, 0.35, 0.015, 0.2
"""Share of the field that far sources take while they are cheap. Up to STRUCTURE + PER_NOISE · noise/field it is what a
local field with that noise gives, from DOUBT more on it is background, and the price goes evenly from one to the other
between them, since a wrong verdict is dear either way. Noise is what λ stands for, up to MOST_NOISE of the field: a λ
beyond that was chosen to smooth. On simulated heads of two programs it was 0.04 to 0.2: local fields gave 0.03 to 0.07,
with the most noise up to 0.135; PDF leaves 0.10 with noise of 0.08, 0.145 with 0.2, V-SHARP 0.11 and 0.17, LBV 0.25."""


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
    own_edges: float | None = 4000.0,
    reject: float | None = 3.0,
) -> tuple[Any, tuple[str, ...]]:
    """chi [ppm] on the problem's whole box, and notes for the record. Parameters as those of `dipole.tv`."""
    xp, step = problem.xp, relative_step(problem.scan.voxel_mm)
    weight, known = problem.weights(field_noise)
    notes = []
    if lambda_ == "auto":
        lambda_, why = WITHOUT_NOISE_MAP, "no noise map"
        if known is not None:
            noise = noise_level(problem, weight)
            lambda_ = max(PER_NOISE_VARIANCE * noise**2, LEAST * problem.spread())
            why = f"noise {1e3 * noise:.3g} ppb by the field's spectrum"
        notes.append(f"lambda = {lambda_:.3g} ppm ({why})")
    auto = outside == "auto"
    if not lambda_ > 0 or not (auto or 0 < outside <= 1):
        raise ParameterError(f"lambda = {lambda_}, outside = {outside}; expected lambda > 0 and outside in (0, 1]")
    if not all(x is None or x > 0 for x in (edges, own_edges, reject)):
        raise ParameterError(
            f"edges = {edges}, own_edges = {own_edges}, reject = {reject}; expected numbers above 0, or none"
        )
    prior = xp.where(problem.inside, np.float32(lambda_), np.float32(lambda_ if auto else lambda_ * outside))
    far = _set_far_free(problem, prior) if auto else None
    if edges is not None and (s0 is None or r2star is None):
        notes.append("no edges from the magnitude: s0 and r2star were not given")
    elif edges is not None:
        magnitude = problem.box.crop(mean_magnitude(xp, s0, r2star, problem.scan.te_s))
        prior *= edge_weight(xp, magnitude, problem.inside, problem.scan.voxel_mm, edges)
        del magnitude

    def price(chi: Any) -> None:
        """The price of outer sources, by what the far ones have found while they were free."""
        left = _share(problem, chi * far)
        noise = min((lambda_ / PER_NOISE_VARIANCE) ** 0.5 / problem.spread(), MOST_NOISE)
        freedom = min(max((left - STRUCTURE - PER_NOISE * noise) / DOUBT, 0.0), 1.0)
        prior[...] = xp.where(problem.inside, prior, np.float32(lambda_ * _cost(freedom)))
        border = _across_border(xp, problem.inside)
        prior[border] = xp.minimum(prior[border], np.float32(lambda_ * BORDER ** (1 - freedom)))
        notes.append(f"far sources make {100 * left:.1f} % of the field: {_verdict(freedom)}")

    revisions = {PRICE_AT: price} if auto else {}
    if own_edges is not None:
        beyond = own_edges * lambda_
        revisions[EDGES_AT] = lambda chi: ease_at_own_edges(xp, prior, chi, problem.inside, step, beyond)
    data_penalty, prior_penalty = PENALTIES_OUTER if not auto and outside < 0.1 else PENALTIES
    solver = TotalVariation(
        problem.dipole.kernel,
        problem.field,
        weight,
        prior,
        step,
        prior_penalty * lambda_ / problem.spread(),
        data_penalty,
        reject=reject,
        least_spread=LEAST_SPREAD,
        revisions=revisions,
    )
    chi = solver.solve(xp, stop)[0]
    return chi, (*notes, *_too_late(revisions, stop.done))


def _set_far_free(problem: Problem, prior: Any) -> Any:
    """Make sources far from the mask cheap, in place; where they are, (x, y, z) bool."""
    xp, voxel_mm = problem.xp, problem.scan.voxel_mm
    far = depth_mm(~problem.inside, voxel_mm, walls=False, reach_mm=NEAR_MM) > NEAR_MM
    prior *= xp.where(far, np.float32(FREE), np.float32(1))
    return far


def _across_border(xp: Any, inside: Any) -> Any:
    """Voxels that differ from the next one along some axis in being inside: (x, y, z) bool."""
    across = xp.zeros(inside.shape, bool)
    for axis in range(3):
        across |= inside != xp.roll(inside, -1, axis=axis)
    return across


def _cost(freedom: float) -> float:
    """λ of outer sources relative to inside."""
    return FREE**freedom * DEAR ** (1 - freedom)


def _verdict(freedom: float) -> str:
    """What the price says that outer sources pay."""
    if freedom in (0.0, 1.0):
        return "background is left, and outer sources are free" if freedom else "no background is left"
    return f"background may be left, and outer sources cost {_cost(freedom):.2g} of the others"


def _too_late(revisions: Iterable[int], done: int) -> tuple[str, ...]:
    """A note on what the iteration did not come to."""
    what = {PRICE_AT: "the price of outer sources", EDGES_AT: "edges of the map itself"}
    late = [what[at] for at in revisions if done <= at]
    return (f"stopped after {done} iterations, before {' and '.join(late)} came into it",) if late else ()


def _share(problem: Problem, outer: Any) -> float:
    """Standard deviation of the field of outer sources over that of the whole field, inside the mask."""
    spectrum = rfftn(outer)
    del outer
    multiply(spectrum, problem.dipole.kernel)
    return problem.spread(irfftn(spectrum, problem.box.shape)) / problem.spread()
