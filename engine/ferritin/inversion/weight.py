"""How much regularisation: rules that choose `lambda` for any inversion that has one.

auto is the most probable map's weight: the noise variance over the typical size of what the prior counts, a number for
each method; it costs nothing. Those of tv and closed_form were measured on twelve heads, all others but tgv's on two
(bench/accuracy/automatic_weight.py). The other rules solve the problem for several weights and look at the misfit. The
field of sources outside the mask is smooth there and may be anything, so that discrepancy and cross-validation judge
the misfit by its Laplacian, against that of the noise. An L-curve is that of the plain misfit (Hansen PC. SIAM Rev
1992;34:561); it smooths too little where the noise is large.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ferritin.errors import ParameterError
from ferritin.inversion.laplacian import inner_voxels
from ferritin.inversion.noise import noise_level
from ferritin.inversion.problem import Problem
from ferritin.inversion.radians import radians_per_ppm
from ferritin.inversion.sparse import LEAST, PER_NOISE_VARIANCE
from ferritin.ops.gradient import Gradient

Rule = Literal["auto", "l-curve", "discrepancy", "cross-validation"]
ON_THE_DATA = ("medi",)
"""Methods whose λ weighs the data, so that a larger one smooths less."""
HELD_OUT = 0.05
"""Share of the voxels that cross-validation predicts from the others."""
WAYS = tuple(2.0**k for k in range(-6, 4))
"""Weights that are tried, relative to the automatic one."""
WITHOUT_MAP = 66.0
"""Total variation's λ over the noise variance and under the voxel [mm/ppm], without a noise map: what the cone holds is
then the error of the worse part of the field, or the model's, and not that of every voxel."""

AUTO: dict[str, Callable[[Case], float]] = {
    "tv": lambda c: max(
        (PER_NOISE_VARIANCE if c.mapped else WITHOUT_MAP / c.voxel_mm) * c.noise**2, LEAST * c.problem.spread()
    ),
    "fansi_tv": lambda c: PER_NOISE_VARIANCE * c.noise**2,
    "fansi_tgv": lambda c: PER_NOISE_VARIANCE * c.noise**2,
    "wh_qsm": lambda c: PER_NOISE_VARIANCE * c.noise**2,
    "star": lambda c: PER_NOISE_VARIANCE * c.noise**2,
    "hd_qsm": lambda c: PER_NOISE_VARIANCE * c.noise**2,
    "tgv": lambda c: 88 * c.noise**2,
    "tikhonov": lambda c: 2.5e3 * c.noise**2,
    "closed_form": lambda c: 3.28 * (c.noise / c.voxel_mm) ** 0.9,  # the field's cut at the rim is noise of its own
    "l1_qsm": lambda c: 42 * c.noise,
    "medi": lambda c: 1 / (2 * 100 * c.radians * c.voxel_mm * c.noise**2),
}
"""λ by method from the noise [ppm], the phase of a ppm [rad] and the voxel [mm]."""


def settle(function: Callable[..., Any], bound: inspect.BoundArguments, unit: str) -> str | None:
    """Put a number in the place of a rule among the arguments of a call; what to say of it, None when it was one."""
    rule = bound.arguments.get("lambda_")
    own = inspect.signature(function).parameters["lambda_"].default == rule if rule is not None else True
    if not isinstance(rule, str) or (own and function.__name__ not in AUTO):
        return None  # a number, or a rule of the method's own
    value, why = Case(function, function.__name__, bound).choose(rule)
    bound.arguments["lambda_"] = value
    return f"lambda = {value:.3g}{'' if unit == '1' else ' ' + unit} ({why})"


@dataclass
class Case:
    """One call of an inversion whose weight is to be chosen."""

    function: Callable[..., Any]
    name: str
    bound: inspect.BoundArguments

    def __post_init__(self) -> None:
        given = self.bound.arguments
        self.field = given["local_field"] if "local_field" in given else given["total_field"]
        self.mask = given["mask"] if "mask" in given else given["field_mask"]
        self.scan = given["scan"]
        self.problem = Problem(self.field, self.mask, self.scan)
        self.mapped = given.get("field_noise") is not None
        self.weight, _ = self.problem.weights(given.get("field_noise"))
        self.noise = noise_level(self.problem, self.weight)
        self.why = f"noise {1e3 * self.noise:.3g} ppb by the field's spectrum in the magic cone"
        self.voxel_mm = float(np.prod(self.scan.voxel_mm)) ** (1 / 3)

    @property
    def radians(self) -> float:
        """Phase [rad] of one ppm, for the methods that fit phase."""
        return radians_per_ppm(self.scan, self.bound.arguments.get("time_s"))

    def choose(self, rule: str) -> tuple[float, str]:
        """The weight and where it comes from."""
        if rule == "auto" and self.name in AUTO:
            return AUTO[self.name](self), self.why
        rules = {"l-curve": self._l_curve, "cross-validation": self._cross_validation}
        start = AUTO[self.name](self) if self.name in AUTO else self._default()
        # From the roughest map to the smoothest.
        weights = [start / way if self.name in ON_THE_DATA else start * way for way in WAYS]
        value, why = rules.get(rule, self._discrepancy)(weights)
        return value, f"{why}, {self.why}"

    def _default(self) -> float:
        """Where the search starts for a method that was not measured."""
        default = inspect.signature(self.function).parameters["lambda_"].default
        return 100 * self.noise**2 if isinstance(default, str) else default

    def _discrepancy(self, weights: list[float]) -> tuple[float, str]:
        """The weight whose misfit is the noise; the nearest one tried where none is."""
        ratios = [self._misfit(self._solve(w), self._inner()) for w in weights]
        above = next((i for i, r in enumerate(ratios) if r >= 1), len(weights))
        if above in (0, len(weights)):
            side = "above" if above == 0 else "below"
            end = f"discrepancy, at the end of what was tried: the misfit stays {side} the noise"
            return weights[0 if above == 0 else -1], end
        low, high = math.log(ratios[above - 1]), math.log(ratios[above])
        share = -low / max(high - low, 1e-9)
        return weights[above - 1] * (weights[above] / weights[above - 1]) ** share, "discrepancy"

    def _l_curve(self, weights: list[float]) -> tuple[float, str]:
        """The weight at the corner: the largest curvature of log roughness against log misfit."""
        points = []
        for w in weights:
            chi = self._solve(w)
            misfit = self.problem.dipole(chi)
            misfit -= self.problem.field
            misfit *= self.weight
            points.append((math.log(self.problem.spread(misfit)), math.log(max(self._roughness(chi), 1e-30))))
        at = corner(*np.array(points).T)
        if at is None:
            raise ParameterError(
                f"the L-curve has no corner from lambda = {weights[0]:.3g} to {weights[-1]:.3g}; take auto, "
                "discrepancy or a number"
            )
        return weights[at], "l-curve"

    def _cross_validation(self, weights: list[float]) -> tuple[float, str]:
        """The weight that predicts the field best where its data were withheld."""
        if "field_noise" not in inspect.signature(self.function).parameters:
            raise ParameterError(
                f"lambda = 'cross-validation' needs a method that weights its data, {self.name} does not; "
                "take auto, l-curve or discrepancy"
            )
        xp, scan = self.problem.xp, self.scan
        known = self.bound.arguments.get("field_noise")
        if known is None:
            known = xp.full(self.field.shape, np.float32(self.noise * scan.hz_per_ppm))
        draw = np.random.default_rng(0).random(self.field.shape, np.float32) < HELD_OUT
        out = xp.asarray(draw) if xp is not np else draw
        noise = xp.where(out, np.float32(np.inf), known)
        held = self._inner() & self.problem.box.crop(out)
        errors = [self._misfit(self._solve(w, field_noise=noise), held) for w in weights]
        return lowest(weights, errors), "cross-validation"

    def _solve(self, weight: float, **changed: Any) -> Any:
        """chi [ppm] in the box."""
        arguments = {**self.bound.arguments, "lambda_": weight, "reference": "none", **changed}
        known = inspect.signature(self.function).parameters
        arguments = {n: v for n, v in arguments.items() if n in known and n != "progress"}
        return self.problem.box.crop(self.function(**arguments).chi)

    def _inner(self) -> Any:
        return inner_voxels(self.problem.xp, self.problem.inside) & (self.weight > 0)

    def _misfit(self, chi: Any, where: Any) -> float:
        """Mean square of the Laplacian of the weighted misfit over that of the noise."""
        xp, gradient = self.problem.xp, Gradient((1.0, 1.0, 1.0))
        misfit = self.problem.dipole(chi)
        misfit -= self.problem.field
        bend = gradient.adjoint(xp, gradient(xp, misfit))
        variance = xp.where(self.weight > 0, 1 / xp.maximum(self.weight, np.float32(1e-6)) ** 2, 0)
        expected = 36 * variance
        for axis in range(3):
            for way in (-1, 1):
                expected += xp.roll(variance, way, axis=axis)
        ratio = (bend * bend / xp.where(where, expected, np.float32(1)))[where]
        return float(ratio.mean(dtype=np.float64)) / self.noise**2

    def _roughness(self, chi: Any) -> float:
        """Mean size of the differences between neighbours inside the mask."""
        xp = self.problem.xp
        slope = Gradient((1.0, 1.0, 1.0))(xp, chi)
        size = xp.sqrt((slope * slope).sum(axis=0))[self._inner()]
        return float(size.mean(dtype=np.float64))


def lowest(weights: list[float], errors: list[float]) -> float:
    """The weight of least error: the lowest point of a parabola in log weight through the least error and those beside.

    weights : in even steps of the logarithm. The least error's own weight at either end, where one beside is missing.
    """
    at = int(np.argmin(errors))
    if at in (0, len(errors) - 1):
        return weights[at]
    before, here, after = errors[at - 1 : at + 2]
    share = (before - after) / max(2 * (before - 2 * here + after), 1e-30)
    return weights[at] * (weights[at + 1] / weights[at]) ** share


def corner(misfit: np.ndarray, roughness: np.ndarray) -> int | None:
    """Index of the largest curvature of an L-curve, both in logarithms; None where it points nowhere to the origin."""
    dx, dy = np.gradient(misfit), np.gradient(roughness)
    bend = dx * np.gradient(dy) - np.gradient(dx) * dy
    curvature = bend / np.maximum((dx**2 + dy**2) ** 1.5, 1e-12)
    best = 1 + int(np.argmax(curvature[1:-1]))
    return best if curvature[best] > 0 else None
