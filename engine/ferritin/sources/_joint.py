"""Sources from the field and a decay rate at once: both data by their noise, total variation of either source."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.edges import edge_weight, mean_magnitude
from ferritin.inversion.problem import Problem
from ferritin.ops.gradient import relative_step
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.two_signs import TwoSigns
from ferritin.stages import Sources

PER_NOISE_VARIANCE = 110.0
"""λ over the noise variance of the field [1/ppm]."""
WITHOUT_NOISE_MAP = 1e-4
"""λ [ppm] when nothing is known of the field's noise."""
MODEL_ERROR = 0.2
"""Share by which the relation of rate and sources is off in any voxel, beside the rate's noise."""
RATE_ERROR = 0.03
"""Error of the rate [ppm] when nothing is known of it, beside the share."""


def joint_sources(
    local_field: Any,
    rate: Any,
    mask: Any,
    scan: Any,
    relaxivity: tuple[float, float],
    stop: Stopping,
    *,
    field_noise: Any,
    rate_error: Any,
    s0: Any,
    r2star: Any,
    lambda_: float | str,
    rate_weight: float | str,
    outside: float,
    edges: float | None,
) -> Sources:
    """Both maps. Parameters as those of `joint`; rate and its error [1/s]."""
    problem = Problem(local_field, mask, scan)
    xp, notes = problem.xp, [f"relaxivity {relaxivity[0]:.4g} and {relaxivity[1]:.4g} Hz/ppm"]
    weight, noise = problem.weights(field_noise)
    if lambda_ == "auto":
        lambda_ = WITHOUT_NOISE_MAP if noise is None else PER_NOISE_VARIANCE * noise**2
        notes.append(f"lambda = {lambda_:.3g} ppm")
    if not lambda_ > 0 or not 0 < outside <= 1:
        raise ParameterError(f"lambda = {lambda_}, outside = {outside}; expected lambda > 0 and outside in (0, 1]")
    prior = xp.where(problem.inside, np.float32(lambda_), np.float32(lambda_ * outside))
    if edges is not None and (s0 is None or r2star is None):
        notes.append("no edges from the magnitude: s0 and r2star were not given")
    elif edges is not None:
        magnitude = problem.box.crop(mean_magnitude(xp, s0, r2star, scan.te_s))
        prior *= edge_weight(xp, magnitude, problem.inside, scan.voxel_mm, edges)
    mean = float(np.mean(relaxivity))
    known = mask & xp.isfinite(rate)
    distance = problem.box.crop(xp.where(known, rate, np.float32(0))) / np.float32(mean)
    if rate_error is not None:
        known &= (rate != 0) | (rate_error != 0)  # both 0: not fitted
        rate_error, without = _complete(xp, rate_error, known, np.float32(RATE_ERROR * mean))
        if without and rate_weight == "auto":
            notes.append(f"{without} voxels have a rate without its error: {RATE_ERROR * mean:.3g} 1/s is taken there")
        rate_error = problem.box.crop(rate_error) / np.float32(mean)
    known = problem.box.crop(known)
    certainty = (
        _certainty(xp, distance, known, rate_error, noise) if rate_weight == "auto" else known * np.float32(rate_weight)
    )
    gains = relaxivity[0] / mean, relaxivity[1] / mean
    weight *= weight
    solver = TwoSigns(
        problem.dipole.kernel, problem.field, weight, distance, certainty, gains, prior,
        relative_step(scan.voxel_mm),
    )  # fmt: skip
    both = (problem.box.place(x * problem.inside) for x in solver.solve(xp, stop))
    return Sources(*both, stop.record(*notes))


def _complete(xp: Any, error: Any, known: Any, otherwise: Any) -> tuple[Any, int]:
    """The rate's error [1/s], `otherwise` where a known rate has none that is finite and above 0; how many those are.

    Two echoes without a noise level have the rate and NaN for its error in every voxel.
    """
    without = known & ~(xp.isfinite(error) & (error > 0))
    return xp.where(without, otherwise, error), int(without.sum())


def _certainty(xp: Any, distance: Any, known: Any, spread: Any, noise: float | None) -> Any:
    """Weight of the rate's misfit: the field's variance (1 without a noise map) over the rate's, model error included.

    Without any noise map the field counts as known to a tenth of what the rate is.
    """
    error = np.float32(RATE_ERROR) if spread is None else spread
    variance = error * error + (np.float32(MODEL_ERROR) * distance) ** 2
    field = np.float32((noise or 0.1 * RATE_ERROR) ** 2)
    return xp.where(known & (variance > 0) & xp.isfinite(variance), field / (variance + (variance == 0)), np.float32(0))
