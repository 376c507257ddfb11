"""Tables of regions: what a map holds in each label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from ferritin.errors import InputError, ShapeError


def region_table(
    volume: np.ndarray,
    labels: np.ndarray,
    voxel_mm: tuple[float, float, float],
    names: Mapping[int, str] = {},
    mask: np.ndarray | None = None,
) -> list[dict[str, float | int | str]]:
    """One row for each label above 0: label, name, voxels, volume_mm3, mean, sd, median.

    Parameters
    ----------
    volume : (x, y, z) real; voxels that are not finite count in no column.
    labels : (x, y, z) whole numbers
    voxel_mm : edges of a voxel
    names : by label, optional
    mask : (x, y, z) bool, optional; voxels outside are left out.

    Returns
    -------
    list of dict
        sd is that of the sample (n − 1), NaN for one voxel. A label without a voxel to count has voxels = 0 and NaN.

    Raises
    ------
    ShapeError, InputError
        The shapes differ, the labels are not whole numbers, or no voxel with a label counts.
    """
    for name, array in (("label image", labels), ("mask", mask)):
        if array is not None and array.shape != volume.shape:
            raise ShapeError(
                f"the {name} has shape {array.shape}, the map {volume.shape}; resample the {name} to the map's grid"
            )
    with np.errstate(invalid="ignore"):
        whole = np.rint(labels).astype(np.int64)
    if not np.abs(labels - whole).max(initial=0) <= 1e-3:  # NaN too
        raise InputError("the labels are not whole numbers; give a label image, or threshold a probability map first")
    wanted = np.unique(whole[whole > 0])
    if not wanted.size:
        raise InputError("the label image holds no label above 0")
    labelled = int((whole > 0).sum())
    counted = np.isfinite(volume) if mask is None else np.isfinite(volume) & mask
    values, whole = volume[counted].astype(np.float64), whole[counted]
    n = np.bincount(whole[whole > 0], minlength=int(wanted.max()) + 1)[wanted]
    if not n.any():
        raise InputError(
            f"none of the {labelled} voxels with a label counts: each is outside the mask or not finite in the map; "
            "give a map and a mask that meet the labels"
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        there = wanted[n > 0]
        mean = dict(zip(there, ndimage.mean(values, whole, there)))
        median = dict(zip(there, ndimage.median(values, whole, there)))
        variance = dict(zip(there, ndimage.variance(values, whole, there)))
    cell = float(np.prod(voxel_mm))
    return [
        {
            "label": int(label),
            "name": names.get(int(label), ""),
            "voxels": int(count),
            "volume_mm3": round(int(count) * cell, 6),
            "mean": float(mean.get(label, np.nan)),
            "sd": float((variance[label] * count / (count - 1)) ** 0.5) if count > 1 else float("nan"),
            "median": float(median.get(label, np.nan)),
        }
        for label, count in zip(wanted, n)
    ]
