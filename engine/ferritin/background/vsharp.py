"""V-SHARP: spherical mean value filtering with the largest ball that fits at each voxel, then one deconvolution."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np

from ferritin.backend import irfftn, namespace, rfftn
from ferritin.errors import ParameterError
from ferritin.ops.box import Box
from ferritin.ops.slabs import each, multiply, slabs
from ferritin.ops.smv import ball_transform, depth_mm, fits
from ferritin.registry import method
from ferritin.stages import LocalField


@method("background", source="Wu B, et al. MRM 2012;67:137; Schweser F, et al. NeuroImage 2011;54:2789, eq. 7-9")
def vsharp(
    total_field: Any,
    mask: Any,
    scan: Any,
    *,
    radius_mm: Annotated[float, "mm"] = 12.0,
    step_mm: Annotated[float | None, "mm"] = None,
    threshold: Annotated[float, "1"] = 0.05,
    progress: Any = None,
) -> LocalField:
    """Remove the harmonic part of the field by variable-radius spherical mean values.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    radius_mm : largest ball; the smallest has the longest voxel edge as radius.
    step_mm : from one radius to the next; the longest voxel edge when None.
    threshold : frequencies where the high-pass of the largest ball, 1 - Ŝ, is smaller than this are set to 0.

    Returns
    -------
    LocalField
        local_field in Hz, 0 outside the returned mask: the voxels where the smallest ball fits.

    Raises
    ------
    ParameterError
        The largest radius is below one voxel, the threshold is not in (0, 1), or no ball fits the mask.
    """
    xp = namespace(total_field)
    radii = _radii(scan.voxel_mm, radius_mm, step_mm)
    if not 0 < threshold < 1:
        raise ParameterError(f"vsharp threshold = {threshold}, expected between 0 and 1; the default is 0.05")
    box = Box.around(mask, tuple(radii[0] / v for v in scan.voxel_mm))
    inside = box.crop(mask)
    depth = depth_mm(inside, scan.voxel_mm)
    field = box.crop(total_field) * inside
    valid = fits(depth, radii[-1])
    if not valid.any():
        raise ParameterError(f"no ball of {radii[-1]:g} mm fits into the mask; give a larger mask")
    spectrum, high_pass = rfftn(field), field
    high_pass[...] = 0
    level = sum(fits(depth, radius).astype(np.uint8) for radius in radii)  # how many of the balls fit
    largest = None
    for i, radius in enumerate(radii):
        ball = ball_transform(xp, box.shape, scan.voxel_mm, radius)
        if i == 0:
            largest = (1 - ball.real).astype(np.float32)
        filtered = irfftn(_high_passed(xp, spectrum, ball), box.shape)
        del ball
        fitting = len(radii) - i

        def keep(s: slice, filtered: Any = filtered, fitting: int = fitting) -> None:
            here = high_pass[s]
            here += filtered[s] * (level[s] == fitting)

        each(keep, slabs(xp, box.shape))
        del filtered, keep
        if progress:
            progress(i + 1, len(radii))
    spectrum = rfftn(high_pass)
    multiply(spectrum, xp.where(largest > threshold, 1 / xp.maximum(largest, np.float32(threshold)), np.float32(0)))
    local = irfftn(spectrum, box.shape)
    local *= valid
    return LocalField(box.place(local), box.place(valid))


def _high_passed(xp: Any, spectrum: Any, ball: Any) -> Any:
    """spectrum·(1 − ball), in the memory of the ball's complex spectrum."""

    def part(s: slice) -> None:
        b = ball[s]
        xp.multiply(spectrum[s], 1 - b.real, out=b)

    each(part, slabs(xp, spectrum.shape))
    return ball


def _radii(voxel_mm: tuple[float, ...], largest: float, step: float | None) -> list[float]:
    """Radii from the largest to the longest voxel edge."""
    smallest = max(voxel_mm)
    step = smallest if step is None else step
    if largest < smallest or step <= 0:
        raise ParameterError(
            f"vsharp radius_mm = {largest:g}, step_mm = {step:g}; expected a radius of at least one voxel edge "
            f"({smallest:g} mm) and a positive step"
        )
    count = max(1, math.floor((largest - smallest) / step + 1e-6) + 1)
    return [largest - i * step for i in range(count)]
