"""A map or a mask in one NIfTI file, and where its voxels lie: files that belong together are on one grid."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ferritin.errors import InputError, ShapeError
from ferritin.io.nifti import distance_mm, load_volume


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a file lie: shape (x, y, z) and affine (4, 4) [mm]."""

    path: Path
    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def voxel_mm(self) -> np.ndarray:
        """Edges of a voxel [mm]."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def require(self, like: Grid) -> None:
        """Raise ShapeError when a voxel lies elsewhere than in another file, by a twentieth of a voxel or more.

        A shape alone says nothing: labels stored from right to left fit a map stored from left to right.
        """
        if self.shape != like.shape:
            raise ShapeError(
                f"{self.path} has shape {self.shape}, {like.path} has {like.shape}; expected one grid for all files, "
                f"resample it to that of {like.path.name}"
            )
        apart = distance_mm(self.shape, self.affine, like.affine)
        if not apart <= 0.05 * like.voxel_mm.min():
            raise ShapeError(
                f"{self.path} lies {apart:.3g} mm from {like.path} by its affine; expected one grid for all files, "
                f"resample it to that of {like.path.name}"
            )


def load_map(path: str | Path, like: Grid | None = None) -> tuple[np.ndarray, Grid]:
    """One real volume (x, y, z) float32 and where it lies; on the grid `like`, when that is given.

    Raises
    ------
    InputError, FormatError, ShapeError
        No such file, several volumes, complex numbers, or another grid.
    """
    values, affine = load_volume(require_nifti(path))
    grid = Grid(Path(path), values.shape[:3], affine)
    if like is not None:
        grid.require(like)
    return real(single(values, path), path), grid


def load_mask(path: str | Path, like: Grid) -> np.ndarray:
    """(x, y, z) bool on the grid `like`: voxels above 0.5, of which there must be some. Raises as load_map does."""
    return inside(load_map(path, like)[0], path)


def require_nifti(path: str | Path) -> Path:
    """The path, when a file is there. Raises InputError."""
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "is not there"
        raise InputError(f"{path} {what}; expected a NIfTI file, .nii or .nii.gz")
    return Path(path)


def single(values: np.ndarray, path: str | Path) -> np.ndarray:
    """The values of a file, when they are one volume. Raises ShapeError."""
    if values.ndim != 3:
        raise ShapeError(f"{path} holds {values.shape[3]} volumes, expected one; split it and give the one that counts")
    return values


def real(values: np.ndarray, path: str | Path) -> np.ndarray:
    """The values of a file, when they are real. Raises InputError."""
    if np.iscomplexobj(values):
        raise InputError(f"{path} holds complex numbers, expected real ones; give magnitude or phase alone")
    return values


def inside(values: np.ndarray, path: str | Path) -> np.ndarray:
    """bool, where a mask's values are above 0.5. Raises InputError when they are nowhere."""
    mask = values > 0.5
    if not mask.any():
        raise InputError(f"{path}: the mask is empty (0 of {mask.size} voxels above 0.5); give one with voxels inside")
    return mask
