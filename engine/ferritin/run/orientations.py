"""Files of several head orientations for one stage: loaded, registered to the first, and stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ferritin.errors import FormatError, InputError
from ferritin.inversion.orientations import align
from ferritin.io.nifti import load_volume
from ferritin.scan import Scan

NEEDED = ("local_field", "mask", "magnitude")


def load_orientations(
    files: Mapping[str, Sequence[Path]], b0: float | None
) -> tuple[dict[str, Any], np.ndarray, list[str]]:
    """Artifacts of the stage `orientations`, the affine of their grid, and how each scan was turned.

    Parameters
    ----------
    files : {"local_field" [Hz], "mask", "magnitude": one path for each orientation, all in the same order}
    b0 : field strength [T]
    """
    lacking = [name for name in NEEDED if name not in files]
    if lacking or set(files) - {*NEEDED}:
        names = ", ".join(f"{name} ({len(paths)})" for name, paths in files.items())
        raise InputError(
            f"several files were given for {names}; several orientations need {', '.join(NEEDED)} of each, by "
            "repeating --in"
        )
    volumes = {name: [load_volume(path) for path in files[name]] for name in NEEDED}
    scans = [Scan((), b0, affine, field.shape) for field, affine in volumes["local_field"]]
    for name, loaded in volumes.items():
        for path, (values, affine), scan in zip(files[name], loaded, scans):
            if values.shape != scan.shape or np.abs(affine - scan.affine).max() > 0.05 * min(scan.voxel_mm):
                raise InputError(
                    f"{path} is not on the grid of its orientation's local_field; resample it to that grid"
                )
    found = align(*([values for values, _ in volumes[name]] for name in NEEDED), scans)
    values = {"local_fields": found.local_fields, "b0_dirs": found.b0_dirs, "mask": found.mask}
    said = [
        f"{path} was turned by {match.angle_deg:.1f} degrees onto the first (correlation {match.correlation:.3f})"
        for path, match in zip(files["local_field"][1:], found.matches)
    ]
    return values, scans[0].affine, said


def load_directions(path: Path) -> np.ndarray:
    """Directions of B0 from a text file: three numbers a line, one line for each orientation; made unit vectors."""
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as why:
        raise FormatError(f"{path} cannot be read as directions ({why}); write three numbers a line") from None
    length = np.linalg.norm(rows, axis=1, keepdims=True) if rows.size else rows
    if rows.shape[1:] != (3,) or not np.all(length > 0):
        raise FormatError(f"{path} holds {rows.shape} numbers; expected three a line, not all 0")
    return rows / length
