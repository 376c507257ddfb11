"""Smooth random fields defined everywhere: sums of plane waves, the same at every resolution."""

from __future__ import annotations

import numpy as np

from ferritin.phantom.grid import Grid


class Waves:
    """A random field of zero mean and unit variance: sqrt(2/n) Σ cos(k·p + φ), wavelengths within a band.

    Parameters
    ----------
    rng : numpy Generator
    wavelength_mm : (shortest, longest) [mm]
    n : int
        Number of waves; the more, the more Gaussian.
    """

    def __init__(self, rng: np.random.Generator, wavelength_mm: tuple[float, float], n: int = 48) -> None:
        direction = rng.normal(size=(n, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = rng.uniform(*(1 / w for w in wavelength_mm[::-1]), size=(n, 1))
        self.k = 2 * np.pi * length * direction
        self.phase = rng.uniform(0, 2 * np.pi, n)
        self.scale = np.float32(np.sqrt(2 / n))

    def on_grid(self, grid: Grid, *box: slice) -> np.ndarray:
        """The field on a box of cells: a product of exponentials per axis, so one matrix product in all."""
        affine = grid.affine
        box = tuple(box) + tuple(slice(0, n) for n in grid.shape[len(box) :])
        x, y, z = (
            np.exp(1j * np.outer(self.k @ affine[:3, axis], np.arange(s.start, s.stop))) for axis, s in enumerate(box)
        )
        x *= self.scale * np.exp(1j * (self.k @ affine[:3, 3] + self.phase))[:, None]
        y, z = y.astype(np.complex64), z.astype(np.complex64)
        yz = (y[:, :, None] * z[:, None, :]).reshape(len(self.k), -1)
        # the real part of a complex product, as one real product
        out = np.concatenate([x.real, -x.imag]).astype(np.float32).T @ np.concatenate([yz.real, yz.imag])
        return out.reshape([s.stop - s.start for s in box])

    def at(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The field at points."""
        out = np.zeros(np.broadcast(x, y, z).shape, np.float32)
        for (kx, ky, kz), phase in zip(self.k.astype(np.float32), self.phase.astype(np.float32)):
            out += np.cos(kx * x + ky * y + kz * z + phase)
        return out * self.scale

    def distance_to_zero(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """About the distance [mm] from points to the surfaces where the field is 0: |f| / |∇f|."""
        value = np.zeros(x.shape, np.float32)
        slope = np.zeros((3, *x.shape), np.float32)
        for k, phase in zip(self.k.astype(np.float32), self.phase.astype(np.float32)):
            angle = k[0] * x + k[1] * y + k[2] * z + phase
            value += np.cos(angle)
            np.sin(angle, out=angle)
            for axis in range(3):
                slope[axis] += k[axis] * angle
        flat = 0.15 * np.sqrt((self.k**2).sum() / 2)  # where the field is flat, no wide plain of zeros
        return np.abs(value) / np.sqrt((slope**2).sum(0) + np.float32(flat) ** 2)
