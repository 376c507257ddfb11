"""How sure a susceptibility map is: the spread of what the same inversion makes of simulated fields.

A parametric bootstrap: a map is taken for the truth, its field is simulated with the noise of the measurement, and
what the inversion errs by is what it is likely to have erred by before. The prior takes detail from a map, so that a
map made with the same prior has little left to lose; the one that stands for the truth is therefore made with a weaker
prior. A method without a weight gets the spread that noise makes alone: for a linear one, the diagonal of its
covariance.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.noise import noise_level
from ferritin.inversion.problem import Problem
from ferritin.inversion.weight import ON_THE_DATA
from ferritin_kernels import box_mean

WEAKER = 0.28
"""λ of the map that stands for the truth, over that of the map in question."""
STRONGER = 4.0
"""The same for a λ that weighs the data."""


def standard_deviation(
    function: Callable[..., Any], bound: inspect.BoundArguments, noise: Any, chi: Any, samples: int
) -> Any:
    """Root mean square error [ppm] of the map, (x, y, z) float32, 0 outside the mask.

    Parameters
    ----------
    function, bound : the inversion and its arguments, with a number as weight.
    noise : (x, y, z) float32 [Hz], standard deviation of the field, or None. It is found in the field itself; a map
        that says less is scaled up to it, one that says more is taken at its word, for noise may be smooth.
    chi : its map [ppm].
    samples : simulated fields. The squares are averaged over neighbours, too (3 x 3 x 3): a few samples do.

    Raises
    ------
    ParameterError
        The method starts from the total field, or samples is below 1.

    Notes
    -----
    Efron B, Tibshirani RJ. An Introduction to the Bootstrap, 1993, ch. 6. An undersmoothed pilot: Davison AC, Hinkley
    DV. Bootstrap Methods and their Application, 1997, ch. 7. Errors of the background field are not in it.
    """
    given = bound.arguments
    if samples < 1 or "local_field" not in given:
        raise ParameterError(
            f"uncertainty = {samples} of {function.__name__}; expected 1 or more samples, and a method that starts "
            "from the local field; take dipole.method=tv, say"
        )
    problem = Problem(given["local_field"], given["mask"], given["scan"])
    xp, mask, scale = problem.xp, given["mask"], np.float32(given["scan"].hz_per_ppm)
    pilot, field = chi, given["local_field"]
    if "lambda_" in given:
        pilot = _again(function, bound, **_weaker(function, given))
        field = problem.box.place(problem.dipole(problem.box.crop(pilot)))
        field *= mask
        field *= scale
    weight, known = problem.weights(noise)
    level = noise_level(problem, weight)
    if known is None:
        noise = xp.full(mask.shape, np.float32(level) * scale)
    elif level > known:
        noise = noise * np.float32(level / known)
    noise = xp.where(mask & xp.isfinite(noise), noise, np.float32(0))
    square, random = xp.zeros(mask.shape, np.float32), np.random.default_rng(0)
    for _ in range(samples):
        drawn = xp.asarray(random.standard_normal(mask.shape, np.float32))
        drawn *= noise
        drawn += field
        error = _again(function, bound, local_field=drawn)
        error -= pilot
        error *= error
        square += error
    near = box_mean(mask.astype(np.float32), (1, 1, 1))
    square *= mask
    square = box_mean(square, (1, 1, 1))
    square *= mask / (xp.maximum(near, np.float32(1e-6)) * np.float32(samples))
    return xp.sqrt(xp.maximum(square, 0))


def _weaker(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, float]:
    return {"lambda_": given["lambda_"] * (STRONGER if function.__name__ in ON_THE_DATA else WEAKER)}


def _again(function: Callable[..., Any], bound: inspect.BoundArguments, **changed: Any) -> Any:
    """chi [ppm] of the same call with other arguments, and without progress."""
    arguments = {**bound.arguments, **changed}
    arguments.pop("progress", None)
    return function(**arguments).chi
