"""Where the anatomy has edges: the prior on chi is eased there."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.errors import InputError
from ferritin.ops.gradient import Gradient
from ferritin.ops.slabs import each, slabs


def edge_weight(xp: Any, magnitude: Any, inside: Any, voxel_mm: tuple[float, ...], contrast: float) -> Any:
    """Weight of the gradient prior from a magnitude image: 1/(1 + (g/(contrast·median g))²), mean 1 over the mask.

    g is the gradient of the logarithm of the magnitude, so that coil shading, which is smooth and multiplies, counts
    little. Voxels whose neighbour has no magnitude keep the weight of a flat region.

    Parameters
    ----------
    magnitude : (x, y, z) float32 [arbitrary], > 0 where known.
    inside : (x, y, z) bool

    Returns
    -------
    (x, y, z) float32 [1]; 1 outside the mask.

    Raises
    ------
    InputError
        The magnitude is nowhere positive inside the mask.
    """
    known = inside & (magnitude > 0) & xp.isfinite(magnitude)
    if not known.any():
        raise InputError("the magnitude of s0 is nowhere positive inside the mask; leave s0 and r2star out")
    log = xp.log(xp.where(known, magnitude, np.float32(1)))
    slope = xp.zeros_like(log)
    for axis, edge in enumerate(voxel_mm):  # one after the other: a volume of gradients is three
        step = xp.roll(log, -1, axis=axis)
        step -= log
        step /= np.float32(edge)
        step *= known & xp.roll(known, -1, axis=axis)
        step *= step
        slope += step
    del log, step
    typical = xp.median(slope[known])
    weight = 1 / (1 + slope / xp.maximum(contrast**2 * typical, np.float32(1e-30)))
    weight *= inside.sum() / (weight * inside).sum(dtype=np.float64)
    return xp.where(inside, weight, np.float32(1)).astype(np.float32)


def ease_at_own_edges(xp: Any, prior: Any, chi: Any, inside: Any, step: tuple[float, ...], beyond: float) -> None:
    """prior *= 1/(1 + (|∇chi|/beyond)²) inside the mask, in place: jumps that a first map shows are not shrunk further.

    One step of a reweighted total variation (Candès EJ, et al. J Fourier Anal Appl 2008;14:877), with the square in its
    weight as in `edge_weight`.

    Parameters
    ----------
    prior, chi : (x, y, z) float32 [ppm]
    inside : (x, y, z) bool
    step : lengths that differences are divided by.
    beyond : gradient [ppm] at which the prior is halved.
    """
    gradient = Gradient(step)

    def part(s: slice) -> None:
        slope = gradient.on_slab(xp, chi, s)
        slope *= np.float32(1 / beyond)
        slope *= slope
        weight = 1 + slope.sum(axis=0)
        prior[s] = xp.where(inside[s], prior[s] / weight, prior[s])

    each(part, slabs(xp, chi.shape))


def edge_mask(xp: Any, magnitude: Any, inside: Any, voxel_mm: tuple[float, ...], share: float) -> Any:
    """0 on the strongest gradient components, 1 elsewhere.

    Parameters
    ----------
    magnitude : (x, y, z) float32 [arbitrary]
    inside : (x, y, z) bool
    share : of the three components of all voxels inside that become 0.

    Returns
    -------
    (3, x, y, z) bool
    """
    slope = abs(Gradient(voxel_mm)(xp, xp.where(inside & xp.isfinite(magnitude), magnitude, np.float32(0))))
    if share == 0:
        return slope >= 0
    within = slope[:, inside].reshape(-1)
    rank = int((1 - share) * (within.size - 1))
    return slope <= xp.partition(within, rank)[rank]


def mean_magnitude(xp: Any, s0: Any, r2star: Any, te_s: tuple[float, ...]) -> Any:
    """Root mean square over the echoes of the fitted decay, s0²·mean(exp(-2 R2* TE)): the magnitude without its noise.

    s0 [arbitrary], r2star [1/s]: (x, y, z) float32. Returns (x, y, z) float32; s0 itself for maps without echo times.
    """
    if not te_s:
        return s0
    power = 0
    for te in te_s:
        power = power + xp.exp(np.float32(-2 * te) * r2star)
    return s0 * xp.sqrt(power * np.float32(1 / len(te_s)))
