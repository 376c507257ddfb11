"""The spherical-mean high-pass of the SHARP family: δ − S on one box, where the ball fits, and its deconvolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import irfftn, namespace, rfftn
from ferritin.errors import ParameterError
from ferritin.ops.box import Box
from ferritin.ops.smv import ball_spectrum, erode


class HighPass:
    """δ − S for one ball, self-adjoint; `valid` is where the ball lies in the mask.

    Raises ParameterError for a ball that is smaller than a voxel, or that fits nowhere.
    """

    def __init__(self, field: Any, mask: Any, scan: Any, radius_mm: float):
        if not radius_mm >= max(scan.voxel_mm):
            raise ParameterError(
                f"radius_mm = {radius_mm:g}, expected at least the longest voxel edge, {max(scan.voxel_mm):g} mm: a "
                "smaller ball is one voxel, whose mean is itself"
            )
        self.xp = namespace(field)
        self.box = Box.around(mask, tuple(radius_mm / v + 1 for v in scan.voxel_mm))
        self.inside = self.box.crop(mask)
        self.field = self.box.crop(field) * self.inside
        self.spectrum = 1 - ball_spectrum(self.xp, self.box.shape, scan.voxel_mm, radius_mm)
        self.valid = erode(self.inside, radius_mm, scan.voxel_mm)
        if not self.valid.any():
            raise ParameterError(f"no ball of {radius_mm:g} mm fits into the mask; take a smaller radius_mm")

    def __call__(self, x: Any) -> Any:
        """x minus its spherical mean."""
        spectrum = rfftn(x)
        spectrum *= self.spectrum
        return irfftn(spectrum, self.box.shape)

    def deconvolve(self, filtered: Any, threshold: float) -> Any:
        """Undo the filter where its spectrum exceeds the threshold; the rest of the spectrum becomes 0."""
        xp = self.xp
        spectrum = rfftn(filtered)
        keep = self.spectrum > threshold
        spectrum *= keep / xp.maximum(self.spectrum, np.float32(threshold))
        return irfftn(spectrum, self.box.shape)
