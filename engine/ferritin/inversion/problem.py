"""A field to be explained by susceptibility: its box, the field in ppm, the dipole, the weights, the zero of chi."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ferritin.backend import irfftn, namespace, rfftn
from ferritin.errors import InputError, ParameterError
from ferritin.ops.box import Box
from ferritin.ops.dipole import Dipole
from ferritin.ops.slabs import each, slabs
from ferritin.solvers.reduction import dot
from ferritin.stages import Record, Susceptibility

LEAST_NOISE = np.float32(1e-12)
"""Noise [Hz] below which a map is taken at this: its squares stay finite."""
MARGIN_MM = 40.0
"""Empty space between the mask and its periodic image; with it the field of a head is right to 0.3 % of itself."""


class Problem:
    """One field, cropped to the mask's box and in ppm.

    Attributes
    ----------
    box : Box with the mask in its middle.
    inside : (x, y, z) bool, the mask in the box.
    field : (x, y, z) float32 [ppm], 0 outside the mask.
    dipole : Dipole on the box.
    """

    def __init__(self, field: Any, mask: Any, scan: Any, *, margin_mm: float = MARGIN_MM):
        self.xp = namespace(field)
        self.scan = scan
        self.box = Box.around(mask, tuple(margin_mm / v for v in scan.voxel_mm))
        self.inside = self.box.crop(mask)
        self.field = self.box.crop(field)
        self.field *= self.inside
        self.field /= np.float32(scan.hz_per_ppm)
        self.dipole = Dipole(self.xp, self.box.shape, scan)

    def filter(self, spectrum: Any) -> None:
        """Filter model and data alike: the field inside the mask, and the dipole kernel."""
        filtered = self.spectrum()
        filtered *= spectrum
        self.field = irfftn(filtered, self.box.shape)
        self.dipole.kernel *= spectrum

    def spectrum(self) -> Any:
        """Half spectrum of the field."""
        return rfftn(self.field)

    def weights(self, field_noise: Any = None) -> tuple[Any, float | None]:
        """Data weights and the noise that weight 1 stands for.

        Parameters
        ----------
        field_noise : (x, y, z) float32 [Hz], or None. Voxels with noise 0, NaN or infinite get weight 0.

        Returns
        -------
        weight : (x, y, z) float32 [1]
            1/noise scaled to a root mean square of 1 over the mask; the mask itself without a noise map.
        noise : float [ppm], or None without a noise map
        """
        xp = self.xp
        if field_noise is None:
            return self.inside.astype(np.float32), None
        noise = self.box.crop(field_noise)
        usable = self.inside & (noise > 0) & xp.isfinite(noise)
        count = int(usable.sum())
        if count == 0:
            raise InputError("field_noise is nowhere positive inside the mask; leave it out, or give its map in Hz")
        xp.maximum(noise, LEAST_NOISE, out=noise)
        weight = xp.where(usable, 1 / xp.where(usable, noise, np.float32(1)), np.float32(0))
        scale = float((weight * weight).sum(dtype=np.float64) / count) ** 0.5
        weight *= np.float32(1 / scale)
        return weight, 1 / scale / self.scan.hz_per_ppm

    def spread(self, field: Any = None) -> float:
        """Standard deviation of a field on the box, or of the given one, inside the mask, at least 1e-9 [ppm]."""
        values = (self.field if field is None else field)[self.inside]
        values = values - values.mean(dtype=np.float64).astype(np.float32)
        return max(float(dot(self.xp, values, values) / values.size) ** 0.5, 1e-9)

    def finish(self, chi: Any, record: Record | None = None, *, reference: str = "mean") -> Susceptibility:
        """The map in the whole volume, zero outside the mask, relative to the stated reference."""
        return finish(chi, self.inside, self.box, record, reference=reference)


def finish(chi: Any, inside: Any, box: Box, record: Record | None = None, *, reference: str = "mean") -> Susceptibility:
    """A map on a box in the whole volume, zero outside the mask, relative to the stated reference. Overwrites chi."""
    if reference not in ("mean", "none"):
        raise ParameterError(f"reference = '{reference}', expected 'mean' (of the mask) or 'none'")
    xp, record = namespace(chi), record or Record()
    chi = chi.astype(np.float32, copy=False)
    parts, zero, note = slabs(xp, chi.shape), None, "chi has no reference: its zero is arbitrary"
    sums: list[Any] = []

    def cut(s: slice) -> None:
        here = chi[s]
        here *= inside[s]
        sums.append(here.sum(dtype=np.float64))

    def refer(s: slice) -> None:
        here = chi[s]
        here -= zero * inside[s]

    each(cut, parts)
    if reference == "mean":
        zero, note = (sum(sums) / inside.sum()).astype(np.float32), "chi is relative to its mean over the mask"
        each(refer, parts)
    return Susceptibility(box.place(chi), replace(record, notes=(*record.notes, note)))
