"""How noisy a field is: by its map, or by what it holds where no susceptibility can make a field."""

from __future__ import annotations

import math

import numpy as np

from ferritin.backend import rfftn
from ferritin.inversion.problem import Problem
from ferritin.ops.frequency import frequencies
from ferritin.ops.smv import depth_mm

CONE = 0.05
"""|D| below which the field of a susceptibility map is next to nothing: the magic angle's cone."""
BAND = (0.35, 0.5)
"""Frequencies [cycles per voxel] that are looked at: low ones hold what the mask's rim and the background leave."""
RIM_MM = 8.0
"""Over this distance from the rim the field fades in, so that its jump there does not spread over k-space."""


def noise_level(problem: Problem, from_map: float | None) -> tuple[float, str]:
    """Standard deviation [ppm] of the field's noise, and where it comes from.

    from_map : as `Problem.weights` gives it; None when there is no noise map. Then the noise is what the spectrum of
    the field holds in the magic cone, the median of its power, which is ln 2 of the mean for noise. Errors of the model
    on the grid count as noise, as they should.
    """
    if from_map is not None:
        return from_map, f"noise {1e3 * from_map:.3g} ppb by its map"
    xp = problem.xp
    fade = xp.clip(depth_mm(problem.inside, problem.scan.voxel_mm) * np.float32(1 / RIM_MM), 0, 1)
    fade *= fade * (3 - 2 * fade)
    size = (fade * fade).sum(dtype=np.float64)
    k = frequencies(xp, problem.box.shape, (1.0, 1.0, 1.0))
    distance = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    cone = (abs(problem.dipole.kernel) < CONE) & (distance > BAND[0] ** 2) & (distance < BAND[1] ** 2)
    spectrum = rfftn(fade * problem.field)[cone]
    power = xp.median(spectrum.real**2 + spectrum.imag**2) / (math.log(2) * size)
    level = float(power) ** 0.5
    return level, f"noise {1e3 * level:.3g} ppb by the field's spectrum in the magic cone"
