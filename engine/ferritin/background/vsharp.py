"""V-SHARP: spherical mean value filtering with the largest ball that fits at each voxel, then one deconvolution."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace, rfftn
from ferritin.errors import ParameterError
from ferritin.ops.box import Box
from ferritin.ops.smv import ball_parts, depth_mm, fits
from ferritin.ops.sweep import Part, filtered, inverse
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
    padded = Box.around(mask, tuple(radii[0] / v for v in scan.voxel_mm))
    box, shape = padded.tight(), padded.shape
    inside = box.crop(mask)
    depth = depth_mm(inside, scan.voxel_mm, reach_mm=radii[0])
    valid = fits(depth, radii[-1])
    if not valid.any():
        raise ParameterError(f"no ball of {radii[-1]:g} mm fits into the mask; give a larger mask")
    level = sum(fits(depth, radius).astype(np.uint16) for radius in radii)  # how many of the balls fit
    del depth
    spectrum = rfftn(box.crop(total_field) * inside, shape)
    balls = [ball_parts(xp, shape, scan.voxel_mm, radius) for radius in radii]
    product, high_pass = xp.empty_like(spectrum), xp.zeros(box.shape, np.float32)
    for i in range(len(radii)):

        def multiply(there: Any, part: Part, ball: Any = balls[i]) -> None:
            xp.multiply(spectrum[part], 1 - ball(part), out=there)

        def take(s: slice, passed: Any, fitting: int = len(radii) - i) -> None:
            high_pass[s] = xp.where(level[s] == fitting, passed, high_pass[s])

        inverse(product, shape, multiply, box.shape, take)
        if progress:
            progress(i + 1, len(radii))

    def divide(there: Any, part: Part) -> None:
        rest = 1 - balls[0](part)
        there *= (rest > threshold) / xp.maximum(rest, np.float32(threshold))

    local = filtered(high_pass, shape, divide, box.shape)
    local *= valid
    return LocalField(box.place(local), box.place(valid))


def _radii(voxel_mm: tuple[float, ...], largest: float, step: float | None) -> list[float]:
    """Radii from the largest down in steps, and the longest voxel edge at last."""
    smallest = max(voxel_mm)
    step = smallest if step is None else step
    if largest < smallest or step <= 0:
        raise ParameterError(
            f"vsharp radius_mm = {largest:g}, step_mm = {step:g}; expected a radius of at least one voxel edge "
            f"({smallest:g} mm) and a positive step"
        )
    count = math.ceil((largest - smallest) / step - 1e-6)
    return [*(largest - i * step for i in range(count)), smallest]
