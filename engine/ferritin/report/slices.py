"""Slices as a radiologist sees them: the patient's right on the left, front and head up, whatever the array's axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel.orientations as orientations
import numpy as np

PLANES = ("axial", "coronal", "sagittal")
LETTERS = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}
"""Left, right, top and bottom of each plane's picture."""
_NORMAL = {"axial": 2, "coronal": 1, "sagittal": 0}


@dataclass(frozen=True, eq=False)
class Frame:
    """Where slices lie: the orientation of the array, its size in RAS order, and the box that is shown.

    box: start and stop along right, anterior, superior; world_mm: a function of a slice's index gives its position.
    """

    orientation: np.ndarray
    affine: np.ndarray
    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    box: tuple[tuple[int, int], ...]

    def picture(self, volume: np.ndarray, plane: str, index: int, *, whole: bool = False) -> np.ndarray:
        """One slice, rows from the top, columns from the left, cut to the box unless the whole is wanted."""
        ras = self.ras(volume)
        cut = [slice(None, None, -1) if whole else slice(b - 1, a - 1 if a else None, -1) for a, b in self.box]
        cut[_NORMAL[plane]] = index
        return ras[tuple(cut)].T

    def ras(self, volume: np.ndarray) -> np.ndarray:
        """A view whose axes point to the right, the front and the top."""
        return orientations.apply_orientation(volume, self.orientation)

    def size_mm(self, plane: str, *, whole: bool = False) -> tuple[float, float]:
        """Width and height of a picture [mm]."""
        box = [(0, n) for n in self.shape] if whole else self.box
        mm = [(b - a) * v for (a, b), v in zip(box, self.voxel_mm)]
        normal = _NORMAL[plane]
        across, up = [i for i in range(3) if i != normal]
        return mm[across], mm[up]

    def view_box(self, plane: str, *, whole: bool = False) -> tuple[int, int, int, int]:
        """Left, top, width and height of a picture in pixels of the whole slice."""
        box = [(0, n) for n in self.shape] if whole else self.box
        across, up = [i for i in range(3) if i != _NORMAL[plane]]
        left, top = self.shape[across] - box[across][1], self.shape[up] - box[up][1]
        return left, top, box[across][1] - box[across][0], box[up][1] - box[up][0]

    def indices(self, plane: str, n: int) -> list[int]:
        """Up to n slices spread over the middle of the box, feet to head, back to front, right to left."""
        a, b = self.box[_NORMAL[plane]]
        margin = 0.14 * (b - a)
        found = np.linspace(a + margin, b - 1 - margin, n).round().astype(int)
        return [int(i) for i in dict.fromkeys(found[::-1] if plane == "sagittal" else found)]

    def planes(self) -> list[str]:
        """The planes whose pictures are more than a streak: a single slice has one."""
        return [p for p in PLANES if 8 * min(self.size_mm(p)) > max(self.size_mm(p))] or ["axial"]

    def position_mm(self, plane: str, index: int) -> float:
        """World coordinate of a slice at the middle of the volume, along the plane's normal [mm]."""
        middle = [(n - 1) / 2 for n in self.shape]
        middle[_NORMAL[plane]] = index
        return float((self.affine @ [*middle, 1])[_NORMAL[plane]])


def frame_of(shape: Sequence[int], affine: np.ndarray, mask: np.ndarray | None = None, margin_mm: float = 5) -> Frame:
    """The frame of a volume, cut to the mask and a margin."""
    orientation = orientations.io_orientation(affine)
    to_world = affine @ orientations.inv_ornt_aff(orientation, shape)
    order = np.argsort(orientation[:, 0])
    ras_shape = tuple(int(shape[i]) for i in order)
    voxel_mm = tuple(float(v) for v in np.linalg.norm(to_world[:3, :3], axis=0))
    box = tuple((0, n) for n in ras_shape)
    if mask is not None and mask.any():
        ras = orientations.apply_orientation(mask, orientation)
        box = tuple(_extent(ras, axis, margin_mm / voxel_mm[axis]) for axis in range(3))
    return Frame(orientation, to_world, ras_shape, voxel_mm, box)


def obliqueness_deg(affine: np.ndarray) -> float:
    """Largest angle between an array axis and the anatomical axis it is nearest to [degrees]."""
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.degrees(np.arccos(np.clip(np.abs(unit).max(axis=0).min(), -1, 1))))


def _extent(mask: np.ndarray, axis: int, margin: float) -> tuple[int, int]:
    """Start and stop of a mask along an axis, widened, inside the volume."""
    found = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
    return max(0, int(found[0] - margin)), min(mask.shape[axis], int(found[-1] + 1 + margin))
