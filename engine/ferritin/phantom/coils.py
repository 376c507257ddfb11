"""Receive coils on a helmet: their sensitivities by Biot and Savart, and the noise that they share."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy.interpolate import CubicSpline

from ferritin.phantom.grid import Grid

_LATTICE_MM = 8.0
_CENTRE, _RADII = np.array([0.0, -14.0, 8.0]), np.array([112.0, 138.0, 120.0])


class Coils:
    """An array of loops around the head.

    Parameters
    ----------
    over : Grid
        The image grid; sensitivities are smooth and are kept on a lattice of 8 mm around it.
    n : int
        Number of loops.
    b0_t : float [T]
        Sets the wavelength in tissue, 0.125 m at 7 T.
    rng : numpy Generator
        Draws each channel's phase and gain.

    Notes
    -----
    A loop's sensitivity is the field that it would make, the component that turns against the spins (Bx - i By, B0
    along z), times a wave from the loop. All are scaled so that the root of their summed squares averages 1 within
    30 mm of the middle.
    """

    def __init__(self, over: Grid, n: int, b0_t: float, rng: np.random.Generator) -> None:
        self.n, self._over = n, over
        extent = [s * v for s, v in zip(over.shape, over.cell_mm)]
        extent[0] *= 2  # the oversampled readout
        shape = tuple(2 * math.ceil(e / _LATTICE_MM / 2) + 8 for e in extent)
        lattice = Grid(shape, (_LATTICE_MM,) * 3, over.rotation, over.centre_mm)
        points = np.stack(np.broadcast_arrays(*lattice.coordinates()), -1).astype(np.float64)
        wave = 2 * math.pi / (125.0 * 7 / b0_t)
        maps = []
        for c in range(n):
            loop, middle = _loop(c, n)
            distance = np.linalg.norm(points - middle, axis=-1)
            constant = rng.uniform(0, 2 * math.pi)
            maps.append(_biot_savart(points, loop) * np.exp(1j * (0.5 * wave * distance + constant)))
        maps = np.array(maps)
        near = np.linalg.norm(points - _CENTRE, axis=-1) < 30
        maps /= np.sqrt((np.abs(maps[:, near]) ** 2).sum(0).mean())
        self._maps = maps.astype(np.complex64)
        self._noise_mix = _shared_noise(maps, points, rng)

    @property
    def noise_mix(self) -> np.ndarray:
        """(n, n) complex: independent noise of unit sd times this (from the left) is the channels' noise."""
        return self._noise_mix

    def sensitivity(self, c: int, oversampling: int = 1) -> np.ndarray:
        """One channel on the image grid, or on one with so many fields of view along x; complex64."""
        over, out = self._over, self._maps[c]
        shape = (oversampling * over.shape[0], *over.shape[1:])
        for axis, (n, m, cell) in enumerate(zip(shape, out.shape, over.cell_mm)):
            at = (np.arange(n) - n // 2) * (cell / _LATTICE_MM) + m // 2
            spline = CubicSpline(np.arange(m), np.eye(m, dtype=np.float32))(at).astype(np.float32)
            out = np.moveaxis(np.tensordot(spline, out, (1, axis)), 0, axis)
        return np.ascontiguousarray(out)


def _loop(c: int, n: int, pieces: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Corners (closed) and middle of loop c, placed by the golden angle over a helmet open to the face's lower part."""
    height = 1 - 1.35 * (c + 0.5) / n
    ring, around = math.sqrt(1 - height**2), c * math.pi * (3 - math.sqrt(5)) + 0.4
    outward = np.array([ring * math.cos(around), ring * math.sin(around), height])
    middle = _CENTRE + _RADII * outward
    normal = outward / _RADII
    normal /= np.linalg.norm(normal)
    u = np.cross(normal, [0.3, 0.2, 1.0])
    u /= np.linalg.norm(u)
    v = np.cross(normal, u)
    t = np.linspace(0, 2 * math.pi, pieces + 1)[:, None]
    radius = float(np.clip(170 / math.sqrt(n), 30, 80))
    return middle + radius * (np.cos(t) * u + np.sin(t) * v), middle


def _biot_savart(points: np.ndarray, loop: np.ndarray, wire_mm: float = 14.0) -> np.ndarray:
    """Bx - i By of a unit current along the corners; within `wire_mm` of the wire it stays finite."""
    out = np.zeros(points.shape[:-1], complex)
    for a, b in pairwise(loop):
        away = points - (a + b) / 2
        field = np.cross(b - a, away) / (np.sum(away**2, -1) + wire_mm**2)[..., None] ** 1.5
        out += field[..., 0] - 1j * field[..., 1]
    return out


def _shared_noise(maps: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lower factor of the noise covariance: half from the head that all loops see, half from each loop itself."""
    inside = (((points - _CENTRE) / (80, 100, 85)) ** 2).sum(-1) < 1
    seen = maps[:, inside]
    overlap = seen @ seen.conj().T
    scale = np.sqrt(np.real(np.diag(overlap)))
    covariance = 0.5 * overlap / np.outer(scale, scale) + 0.5 * np.eye(len(maps))
    gain = np.exp(rng.normal(0, 0.1, len(maps)))
    return np.linalg.cholesky(covariance) * gain[:, None]
