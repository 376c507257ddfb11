"""Closed forms: the spectrum of a field times a function of the dipole kernel, made and used in the same sweep."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.inversion.problem import MARGIN_MM, finish
from ferritin.ops.box import Box
from ferritin.ops.dipole import dipole_parts
from ferritin.ops.slabs import each, slabs
from ferritin.ops.sweep import Part, filtered
from ferritin.stages import Susceptibility


class Division:
    """One field, 0 outside the mask, at the corner of the padded box.

    shape : of the padded box.
    """

    def __init__(self, field: Any, mask: Any, scan: Any):
        self.scan = scan
        box = Box.around(mask, tuple(MARGIN_MM / v for v in scan.voxel_mm))
        self.shape, self.box = box.shape, box.tight()
        self.inside = self.box.crop(mask)
        self.field = self.box.crop(field)
        ppm = np.float32(1 / scan.hz_per_ppm)

        def convert(s: slice) -> None:
            here = self.field[s]
            here *= self.inside[s] * ppm

        each(convert, slabs(namespace(field), self.box.shape))

    def chi(self, inverse: Callable[[Any, Part], Any]) -> Any:
        """chi [ppm]: `inverse(kernel, part)` returns what a part of the field's spectrum is multiplied by."""
        dipole = dipole_parts(namespace(self.field), self.shape, self.scan.voxel_mm, self.scan.b0_dir)

        def work(spectrum: Any, part: Part) -> None:
            spectrum *= inverse(dipole(part), part)

        return filtered(self.field, self.shape, work, self.box.shape)

    def finish(self, chi: Any, reference: str) -> Susceptibility:
        """As `Problem.finish`."""
        return finish(chi, self.inside, self.box, reference=reference)


def cone(threshold: float) -> tuple[float, float]:
    """Cosines to B0 between which |D| = |1/3 − cos²| stays below the threshold (0 to 2/3)."""
    return math.sqrt(max(1 / 3 - threshold, 0)), math.sqrt(1 / 3 + threshold)
