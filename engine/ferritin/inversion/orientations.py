"""Scans of one head in several orientations: brought onto one grid, and where B0 points in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from ferritin.backend import namespace
from ferritin.errors import InputError, ShapeError
from ferritin.inversion.problem import MARGIN_MM
from ferritin.ops.box import Box
from ferritin.scan import Scan
from ferritin.solvers.registration import Match, register


class Aligned(NamedTuple):
    """Several orientations on the first one's grid.

    local_fields : (orientation, x, y, z) float32 [Hz]. b0_dirs : (orientation, axis) float64, B0 in the grid's axes.
    mask : (x, y, z) bool, where all of them know the field. matches : of the later scans.
    """

    local_fields: np.ndarray
    b0_dirs: np.ndarray
    mask: np.ndarray
    matches: tuple[Match, ...]


def align(
    local_fields: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    magnitudes: Sequence[np.ndarray],
    scans: Sequence[Scan],
) -> Aligned:
    """Register every scan to the first and resample its local field.

    A rigid map T takes the first scan's space to that of another, so the first grid has the affine T·A there, and B0
    points along z of that scanner: the direction in voxel axes follows as for any scan.

    Parameters
    ----------
    local_fields : (x, y, z) float32 [Hz] each; masks : bool; magnitudes : real, of one echo time.
    scans : of each, for the affines. Grids and voxel sizes may differ; the field strength may not.

    Raises
    ------
    ShapeError
        Their numbers differ, or there is one alone.
    InputError
        The field strengths differ by more than 1 %, or the masks have no voxel in common.
    """
    if len({len(local_fields), len(masks), len(magnitudes), len(scans)}) > 1 or len(scans) < 2:
        counts = [len(x) for x in (local_fields, masks, magnitudes, scans)]
        raise ShapeError(f"{counts} fields, masks, magnitudes and scans; expected the same number of each, 2 or more")
    first = scans[0]
    scales = [scan.hz_per_ppm for scan in scans]
    if max(scales) > 1.01 * min(scales):
        said = ", ".join(f"{s:.4g}" for s in scales)
        raise InputError(f"the orientations have {said} Hz per ppm, expected one field strength for all of them")
    fields, directions = [np.asarray(local_fields[0], np.float32)], [first.b0_dir]
    common, matches = np.asarray(masks[0]) > 0, []
    for field, mask, magnitude, scan in zip(local_fields[1:], masks[1:], magnitudes[1:], scans[1:]):
        match = register(magnitudes[0], first.affine, magnitude, scan.affine)
        there = match.transform @ first.affine
        to_voxels = np.linalg.inv(scan.affine) @ there
        inside = np.asarray(mask) > 0
        fields.append(_resampled(_extended(np.asarray(field, np.float32), inside), to_voxels, first.shape, 3))
        common = common & (_resampled(inside.astype(np.float32), to_voxels, first.shape, 1) > 0.99)
        directions.append(first.replace(affine=there).b0_dir)
        matches.append(match)
    if not common.any():
        raise InputError("the masks of the orientations have no voxel in common after registration; look at the inputs")
    return Aligned(np.stack(fields) * common, np.array(directions), common, tuple(matches))


def _resampled(volume: np.ndarray, to_voxels: np.ndarray, shape: Sequence[int], order: int) -> np.ndarray:
    mode = "nearest" if order > 1 else "constant"
    return ndimage.affine_transform(volume, to_voxels[:3, :3], to_voxels[:3, 3], tuple(shape), order=order, mode=mode)


def _extended(field: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The field with its nearest value outside the mask, so that splines do not ring at the rim."""
    index = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return field[tuple(index)]


class Views:
    """Fields of several orientations, cropped to the mask's box and in ppm, with their weights.

    box, inside : as in Problem. fields : list of (x, y, z) float32 [ppm]. weights : squared, each 1/noise² over the
    mean of all, 0 where nothing is known. directions : unit vectors of B0 in voxel axes.
    """

    def __init__(self, local_fields: Any, b0_dirs: Any, mask: Any, scan: Any, field_noises: Any = None):
        self.xp, self.scan = namespace(local_fields), scan
        if len(local_fields) != len(b0_dirs):
            raise ShapeError(f"{len(local_fields)} fields and {len(b0_dirs)} directions of B0; expected one for each")
        if not all(np.isfinite(b).all() and np.linalg.norm(b) > 0 for b in b0_dirs.tolist()):
            raise InputError(f"b0_dirs = {b0_dirs.tolist()}, expected a direction other than 0 for each orientation")
        self.directions = [np.array(b) / np.linalg.norm(b) for b in b0_dirs.tolist()]
        self.box = Box.around(mask, tuple(MARGIN_MM / v for v in scan.voxel_mm))
        self.inside = self.box.crop(mask)
        scale = np.float32(1 / scan.hz_per_ppm)
        self.fields = [self.box.crop(f) * self.inside * scale for f in local_fields]
        self.weights = [self.inside.astype(np.float32) for _ in self.fields]
        if field_noises is not None:
            self._weigh(field_noises)

    def _weigh(self, field_noises: Any) -> None:
        xp, total, count = self.xp, 0.0, 0
        for i, noise in enumerate(field_noises):
            noise = self.box.crop(noise)
            known = self.inside & (noise > 0) & xp.isfinite(noise)
            self.weights[i] = xp.where(known, 1 / xp.where(known, noise, np.float32(1)) ** 2, np.float32(0))
            total, count = total + self.weights[i].sum(dtype=np.float64), count + known.sum()
        if not float(total) > 0:
            raise InputError("field_noises are nowhere positive inside the mask; leave them out, or give maps in Hz")
        mean = (total / count).astype(np.float32)
        for weight in self.weights:
            weight /= mean


def least_power(directions: Sequence[np.ndarray]) -> tuple[float, float]:
    """Least and greatest Σ (1/3 − (k·b)²)² over all directions k: how well the worst and the best of k-space is seen.

    The first is the condition of COSMOS: 0 for one orientation, at most 4/45 for each one more.
    """
    n = 20000
    z = (np.arange(n) + 0.5) / n
    turn = np.pi * (3 - 5**0.5) * np.arange(n)
    k = np.stack((np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z), axis=1)
    power = sum((1 / 3 - (k @ np.asarray(b)) ** 2) ** 2 for b in directions)
    return float(power.min()), float(power.max())
