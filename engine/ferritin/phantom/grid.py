"""Regular grids in the patient's space, and their coordinates slab by slab."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ferritin.backend import fast_length


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells whose index (shape // 2) lies at `centre_mm`.

    Attributes
    ----------
    shape : three int
    cell_mm : three float [mm]
        Edges of a cell.
    rotation : (3, 3) float64
        Columns are the directions of the array axes in RAS+ coordinates.
    centre_mm : three float [mm]
        Patient coordinates of the middle cell.
    """

    shape: tuple[int, int, int]
    cell_mm: tuple[float, float, float]
    rotation: np.ndarray
    centre_mm: tuple[float, float, float]

    @cached_property
    def affine(self) -> np.ndarray:
        """(4, 4) [mm]: index to RAS+ coordinates."""
        out = np.eye(4)
        out[:3, :3] = self.rotation * self.cell_mm
        out[:3, 3] = self.centre_mm - out[:3, :3] @ [n // 2 for n in self.shape]
        return out

    @cached_property
    def _inverse(self) -> np.ndarray:
        return np.linalg.inv(self.affine)

    @property
    def b0_dir(self) -> np.ndarray:
        """B0 (the patient's z axis) in array axes."""
        return self.rotation.T @ (0.0, 0.0, 1.0)

    def refined(self, target_mm: float) -> Grid:
        """A grid over the same field of view with cells of about `target_mm`, never coarser than this one's.

        Both grids have the same middle, and sizes that transform fast.
        """
        shape = tuple(
            max(n, fast_length(math.ceil(n * v / target_mm - 1e-6))) for n, v in zip(self.shape, self.cell_mm)
        )
        cell = tuple(n * v / m for n, v, m in zip(self.shape, self.cell_mm, shape))
        return Grid(shape, cell, self.rotation, self.centre_mm)

    def slabs(self, cells: int = 1 << 19) -> Iterator[slice]:
        """Slices of the first axis with about so many cells each."""
        step = max(1, cells // (self.shape[1] * self.shape[2]))
        return (slice(i, min(i + step, self.shape[0])) for i in range(0, self.shape[0], step))

    def coordinates(self, *box: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patient x, y, z [mm] of a box of cells, float32; arrays that broadcast when the grid is not oblique."""
        affine = self.affine
        index = np.ogrid[tuple(box) + tuple(slice(0, n) for n in self.shape[len(box) :])]
        return tuple(
            sum((affine[row, axis] * i for axis, i in enumerate(index) if affine[row, axis]), affine[row, 3]).astype(
                np.float32
            )
            for row in range(3)
        )

    def box(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice, slice]:
        """The smallest box of cells around patient coordinates low..high [mm], cut to the grid."""
        corners = np.stack(np.meshgrid(*zip(low, high), indexing="ij"), -1).reshape(-1, 3)
        inverse = self._inverse
        index = corners @ inverse[:3, :3].T + inverse[:3, 3]
        first, last = np.floor(index.min(0)).astype(int), np.ceil(index.max(0)).astype(int) + 1
        return tuple(slice(max(a, 0), max(min(b, n), 0)) for a, b, n in zip(first, last, self.shape))
