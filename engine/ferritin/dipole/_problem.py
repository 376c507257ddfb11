"""What all dipole inversions share: the box, the field in ppm, the kernel, the weights, and the reference of zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ferritin.backend import namespace, rfftn
from ferritin.errors import InputError, ParameterError
from ferritin.ops.box import Box
from ferritin.ops.dipole import Dipole
from ferritin.stages import Record, Susceptibility

MARGIN_MM = 40.0
"""Empty space between the mask and its periodic image; with it the field of a head is right to 0.3 % of itself."""


class Problem:
    """One field to be inverted, cropped to its box and in ppm.

    Attributes
    ----------
    field : (x, y, z) float32 [ppm], 0 outside the mask.
    inside : (x, y, z) bool, the mask in the box.
    dipole : Dipole on the box.
    """

    def __init__(self, local_field: Any, mask: Any, scan: Any, *, margin_mm: float = MARGIN_MM):
        self.xp = namespace(local_field)
        self.scan = scan
        self.box = Box.around(mask, tuple(margin_mm / v for v in scan.voxel_mm))
        self.inside = self.box.crop(mask)
        self.field = self.box.crop(local_field)
        self.field *= self.inside
        self.field /= np.float32(scan.hz_per_ppm)
        self.dipole = Dipole(self.xp, self.box.shape, scan)

    def spectrum(self) -> Any:
        """Half spectrum of the field."""
        return rfftn(self.field)

    def weights(self, field_noise: Any = None) -> Any:
        """Data weights: 1/noise, scaled to a root mean square of 1 over the mask; the mask itself without a noise map.

        field_noise : (x, y, z) float32 [Hz], or None. Voxels with noise 0, NaN or infinite get weight 0.
        """
        xp = self.xp
        if field_noise is None:
            return self.inside.astype(np.float32)
        noise = self.box.crop(field_noise)
        usable = self.inside & (noise > 0) & xp.isfinite(noise)
        count = int(usable.sum())
        if count == 0:
            raise InputError("field_noise is nowhere positive inside the mask; leave it out, or give its map in Hz")
        weight = xp.where(usable, 1 / xp.where(usable, noise, np.float32(1)), np.float32(0))
        weight *= 1 / xp.sqrt((weight * weight).sum(dtype=np.float64) / count).astype(np.float32)
        return weight

    def half_mean(self, even: Any) -> Any:
        """Mean over the whole k-space of a real, even quantity given on the half spectrum (0-d array)."""
        n = self.box.shape[2]
        total = 2 * even.sum(dtype=np.float64) - even[..., 0].sum(dtype=np.float64)
        if n % 2 == 0:
            total = total - even[..., -1].sum(dtype=np.float64)
        return (total / np.prod(self.box.shape)).astype(np.float32)

    def finish(self, chi: Any, record: Record | None = None, *, reference: str = "mean") -> Susceptibility:
        """The map in the whole volume, zero outside the mask, relative to the stated reference."""
        if reference not in ("mean", "none"):
            raise ParameterError(f"reference = '{reference}', expected 'mean' (of the mask) or 'none'")
        chi = chi.astype(np.float32, copy=False)
        if reference == "mean":
            zero = (chi * self.inside).sum(dtype=np.float64) / self.inside.sum()
            chi = (chi - zero.astype(np.float32)) * self.inside
            note = "chi is relative to its mean over the mask"
        else:
            chi = chi * self.inside
            note = "chi has no reference: its zero is arbitrary"
        record = record or Record()
        return Susceptibility(self.box.place(chi), replace(record, notes=(*record.notes, note)))
