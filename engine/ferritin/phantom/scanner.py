"""Scan a digital head: fields, signals, truth on the image grid. Writers of raw and NIfTI files ask for one echo."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import ndimage

from ferritin.phantom.field import field, shim
from ferritin.phantom.grid import Grid
from ferritin.phantom.head import Head, grid
from ferritin.phantom.kspace import band_limited
from ferritin.phantom.protocol import Protocol
from ferritin.phantom.signal import gradient_echo, steady_state, transmit_phase
from ferritin.phantom.tissue import AIR_PPM
from ferritin.units import hz_per_ppm

_REVERSED_PHASE = (0.4, 0.6)  # rad, and cycles across the field of view


class Scanner:
    """One head in one protocol.

    Attributes
    ----------
    images : Grid
        The image grid.
    head : Head
        On the fine grid over the same field of view.
    sigma : float
        Noise sd per real and imaginary part of the coil-free image.
    """

    def __init__(self, protocol: Protocol, seed: int = 1, **individual: bool | float) -> None:
        self.protocol = protocol
        self.images = grid(protocol.voxel_mm, protocol.tilt_deg)
        self.head = Head(self.images.refined(protocol.cell_mm), seed, **individual)
        self._chi = self.head.chi()
        self._total = field(self._chi, self.fine.cell_mm, self.fine.b0_dir, outside=AIR_PPM)
        shim(self._total, self.head.brain, self.fine.cell_mm)
        self._r2star = self.head.rate("r2star", protocol.b0_t)
        self._s0 = steady_state(
            self.head.m0(), self.head.rate("r1", protocol.b0_t), 1e-3 * protocol.tr_ms, protocol.flip_deg
        )
        self._phase = transmit_phase(self.fine)

    @property
    def fine(self) -> Grid:
        """The grid that the head is made on."""
        return self.head.grid

    @property
    def hz_per_ppm(self) -> float:
        """Hz that one ppm of B0 is worth."""
        return hz_per_ppm(self.protocol.b0_t)

    @property
    def total_field(self) -> np.ndarray:
        """The shimmed field on the fine grid [ppm]."""
        return self._total

    def echo(self, index: int, oversampling: int = 1) -> np.ndarray:
        """The noise-free, coil-free image of one echo as the scanner forms it, complex64.

        oversampling : fields of view along x, the object in the middle one.
        """
        te = 1e-3 * self.protocol.te_ms[index]
        total_hz = self._total * np.float32(self.hz_per_ppm)
        fine = gradient_echo(self._s0, self._r2star, total_hz, self._phase, te)
        image = band_limited(fine, self.images.shape, oversampling)
        if self.reads_backwards(index):
            constant, cycles = _REVERSED_PHASE
            nx = self.images.shape[0]
            x = (np.arange(len(image)) - len(image) // 2) / nx
            image *= np.exp(1j * (constant + 2 * np.pi * cycles * x)).astype(np.complex64)[:, None, None]
        return image

    def reads_backwards(self, index: int) -> bool:
        """Whether an echo is read from the far end of k-space."""
        return self.protocol.bipolar and index % 2 == 1

    @cached_property
    def brain(self) -> np.ndarray:
        """The whole brain on the image grid."""
        return self.mean(self.head.brain) > 0.5

    @cached_property
    def _first_echoes(self) -> tuple[float, np.ndarray]:
        first = np.abs(self.echo(0))
        second = np.abs(self.echo(1)) if len(self.protocol.te_ms) > 1 else first
        return float(first[self.brain].max()), second

    @property
    def sigma(self) -> float:
        """See the class."""
        return self._first_echoes[0] / self.protocol.snr

    @cached_property
    def mask(self) -> np.ndarray:
        """The brain where echo 2 stands above 5 noise sd: the largest piece, its holes filled."""
        parts, _ = ndimage.label(self.brain & (self._first_echoes[1] > 5 * self.sigma))
        largest = np.bincount(parts.ravel())[1:].argmax() + 1
        return ndimage.binary_fill_holes(parts == largest)

    def truth(self) -> dict[str, np.ndarray]:
        """The maps that a reconstruction is compared with, on the image grid: means over each voxel, inside the mask.

        Returns
        -------
        dict
            chi, chi_plus, chi_minus [ppm] (chi: mean over the mask 0); total_field (shimmed), local_field (of the
            sources in the mask alone) [ppm]; r2star, r2, r1 [1/s]; s0; mask, brain, labels.
        """
        chi = self.mean(np.where(self.head.brain, self._chi, self._chi[self.head.brain].mean()))
        out = {"chi": (chi - chi[self.mask].mean(dtype=np.float64)) * self.mask}
        out["total_field"] = self.mean(self._total) * self.mask
        out["local_field"] = self.mean(self._local_field()) * self.mask
        out["s0"] = self.mean(self._s0) * self.mask
        for name in ("chi_plus", "chi_minus"):
            out[name] = self.mean(getattr(self.head, name)() * self.head.brain) * self.mask
        for name in ("r2star", "r2", "r1"):
            rate = self._r2star if name == "r2star" else self.head.rate(name, self.protocol.b0_t)
            out[name] = self.mean(np.where(self.head.brain, rate, rate[self.head.brain].mean())) * self.mask
        out = {name: value.astype(np.float32) for name, value in out.items()}
        return out | {
            "mask": self.mask.astype(np.uint8),
            "brain": self.brain.astype(np.uint8),
            "labels": self._nearest(self.head.labels, self.images, self.fine),
        }

    def _local_field(self) -> np.ndarray:
        inside = self.head.brain & (self._nearest(self.mask, self.fine, self.images) > 0)
        chi = np.where(inside, self._chi - self._chi[inside].mean(dtype=np.float64), 0).astype(np.float32)
        return field(chi, self.fine.cell_mm, self.fine.b0_dir)

    def mean(self, fine: np.ndarray) -> np.ndarray:
        """Mean of fine cells over each voxel's volume, float32."""
        out = fine.astype(np.float32, copy=False)
        for axis, (n, m) in enumerate(zip(self.images.shape, self.fine.shape)):
            out = np.moveaxis(np.tensordot(_shares(n, m), out, (1, axis)), 0, axis)
        return out

    @staticmethod
    def _nearest(volume: np.ndarray, onto: Grid, of: Grid) -> np.ndarray:
        """Values at the cells nearest to another grid's middles; both grids share their middle cell."""
        at = [
            np.clip(np.rint((np.arange(n) - n // 2) * (v / w)).astype(int) + m // 2, 0, m - 1)
            for n, m, v, w in zip(onto.shape, of.shape, onto.cell_mm, of.cell_mm)
        ]
        return volume[np.ix_(*at)]


def _shares(n: int, m: int) -> np.ndarray:
    """(n, m) float32: share of each of m fine cells in the mean of each of n coarse ones; index n//2 lies at m//2."""
    ratio = m / n
    middle = (np.arange(n) - n // 2)[:, None] * ratio + m // 2
    cell = np.arange(m)[None]
    overlap = np.minimum(middle + ratio / 2, cell + 0.5) - np.maximum(middle - ratio / 2, cell - 0.5)
    overlap = np.clip(overlap, 0, None)
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)
