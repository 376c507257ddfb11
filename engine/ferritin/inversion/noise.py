"""How noisy a field is: by what it holds where no susceptibility can make a field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ferritin.backend import rfftn
from ferritin.inversion.problem import Problem
from ferritin.ops.frequency import frequencies
from ferritin.ops.smv import depth_mm
from ferritin_kernels import box_mean

CONE = 0.05
"""|D| below which the field of a susceptibility map is next to nothing: the magic angle's cone."""
BAND = (0.35, 0.5)
"""Frequencies [cycles per voxel] that are looked at: low ones hold what the mask's rim and the background leave."""
LEAST_PPM = 1e-6
"""What a field without any noise is said to have: weights that follow from it stay above 0."""
RIM_MM = 8.0
"""Over this distance from the rim the field fades in, so that its jump there does not spread over k-space."""


def noise_level(problem: Problem, weight: Any) -> float:
    """Standard deviation [ppm] of the noise where the weight is 1.

    weight : as `Problem.weights` gives it. A noise map says by it where the field is noisier; how noisy it is, the
        spectrum of the weighted field says in the magic cone: the median of its power, which is ln 2 of the mean for
        noise. So errors that a noise map does not know of count, those of the model on the grid among them, and noise
        that is smooth does not. The local mean is taken off before, or weights that vary would spread the field's low
        frequencies into the cone.
    """
    xp = problem.xp
    fade = xp.clip(depth_mm(problem.inside, problem.scan.voxel_mm, reach_mm=RIM_MM) * np.float32(1 / RIM_MM), 0, 1)
    fade *= fade * (3 - 2 * fade)
    size = (fade * fade)[weight > 0].sum(dtype=np.float64)
    thick = [hi - lo > 1 for lo, hi in zip(problem.box.start, problem.box.stop)]  # a slice has no mean across
    reach = tuple(int(more) for more in thick)
    rough = box_mean(problem.field, reach)
    rough /= xp.maximum(box_mean(problem.inside.astype(np.float32), reach), np.float32(1e-3))
    xp.subtract(problem.field, rough, out=rough)
    rough *= fade
    rough *= weight
    k = frequencies(xp, problem.box.shape, (1.0, 1.0, 1.0))
    distance = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    cone = (abs(problem.dipole.kernel) < CONE) & (distance > BAND[0] ** 2) & (distance < BAND[1] ** 2)
    mean = [
        (1 + 2 * xp.cos(np.float32(2 * math.pi) * axis)) * np.float32(1 / 3) if more else xp.ones_like(axis)
        for axis, more in zip(k, thick)
    ]
    spectrum = rfftn(rough)[cone]
    spectrum /= 1 - (mean[0] * mean[1] * mean[2])[cone]
    power = xp.median(spectrum.real**2 + spectrum.imag**2) / (math.log(2) * size)
    return max(float(power) ** 0.5, LEAST_PPM)
