"""From header geometry to the image grid: sizes along each axis, and voxel index to patient (RAS+) coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ferritin.errors import HeaderError, few
from ferritin.io.header import Encoding
from ferritin.scan import Finding


@dataclass(frozen=True)
class Axis:
    """One axis on its way from k-space to the image.

    n_encoded : steps of the encoded k-space. n_fft : length of the transform, larger where the header asks for
    interpolation (zero filling of complex data). n : voxels kept around the centre n_fft//2. voxel_mm : their distance.
    """

    n_encoded: int
    n_fft: int
    n: int
    voxel_mm: float


def axes_of(encoding: Encoding) -> tuple[Axis, Axis, Axis]:
    """The three axes: oversampling (a larger encoded field of view) is cropped, interpolation zero-filled.

    A reconstruction matrix below the acquired resolution is not obeyed: nothing measured is thrown away.
    """
    rows = zip(encoding.encoded.matrix, encoding.encoded.fov_mm, encoding.recon.matrix, encoding.recon.fov_mm)
    return tuple(_axis(*row) for row in rows)


def _axis(n_encoded: int, fov_encoded: float, n_recon: int, fov_recon: float) -> Axis:
    n_fft = round(n_recon * fov_encoded / fov_recon)
    if n_fft <= n_encoded:
        n_fft, n = n_encoded, round(n_encoded * fov_recon / fov_encoded)
    else:
        n = n_recon
    return Axis(n_encoded, n_fft, max(1, min(n, n_fft)), fov_encoded / n_fft)


def directions(read: np.ndarray, phase: np.ndarray, slice_: np.ndarray, name: str) -> tuple[np.ndarray, list[Finding]]:
    """Rotation (3, 3) LPS, a column for each array axis, from the direction cosines of all lines, each (line, 3)."""
    columns = np.stack([read, phase, slice_], axis=2).astype(np.float64)
    first = columns[0]
    if not columns.any():
        assumed = "assumed an axial scan with rows left to right: check the orientation before trusting susceptibility"
        return np.eye(3), [Finding("the file gives no slice orientation", assumed)]
    if np.abs(columns - first).max() > 1e-3:
        raise HeaderError(
            f"{name}: the slice orientation changes within the scan; expected one orientation, split the file"
        )
    if not np.isfinite(first).all() or np.abs(first.T @ first - np.eye(3)).max() > 1e-2:
        raise HeaderError(
            f"{name}: directions {np.round(first.T, 4).tolist()} are not three perpendicular unit vectors; "
            "mend read_dir, phase_dir and slice_dir"
        )
    return first / np.linalg.norm(first, axis=0), []


def affine_of(rotation: np.ndarray, voxel_mm: np.ndarray, shape: tuple[int, ...], position: np.ndarray) -> np.ndarray:
    """Voxel index to RAS+ mm: voxel N//2, the centre of the FFT, lies at `position` (LPS mm).

    Raises nothing; rotation is (3, 3) LPS, position is where the centre of the FFT was measured, for any slab angle.
    """
    lps = np.eye(4)
    lps[:3, :3] = rotation * voxel_mm
    lps[:3, 3] = position - lps[:3, :3] @ [n // 2 for n in shape]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def stack_slices(
    positions: np.ndarray, normal: np.ndarray, thickness_mm: float, name: str
) -> tuple[np.ndarray, float, list[Finding]]:
    """Order, distance [mm] and oddities of 2-D slices from their positions (slice, 3), LPS mm.

    Returns the order that makes them rise along `normal`.
    """
    along = positions.astype(np.float64) @ normal
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    if len(steps) == 0:
        return order, thickness_mm, []
    if np.ptp(along) < 1e-3:
        return (
            order,
            thickness_mm,
            [Finding(f"{len(along)} slices have one position", f"taken as {thickness_mm:g} mm apart, without gaps")],
        )
    if np.ptp(steps) > 0.02 * steps.mean() + 1e-3:
        raise HeaderError(
            f"{name}: slices lie {few(np.round(steps, 3))} mm apart; expected one distance, split the file"
        )
    return order, float(steps.mean()), []
