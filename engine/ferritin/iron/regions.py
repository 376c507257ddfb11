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
    labelled = (whole := whole_labels(labels)) > 0
    if not labelled.any():
        raise InputError("the label image holds no label above 0")
    wanted, region = np.unique(whole[labelled], return_inverse=True)  # numbered on: labels may be of any size
    counted = (np.isfinite(volume) if mask is None else np.isfinite(volume) & mask)[labelled]
    values, region = volume[labelled][counted].astype(np.float64), region[counted]
    if not region.size:
        raise InputError(
            f"none of the {counted.size} voxels with a label counts: each is outside the mask or not finite in the "
            "map; give a map and a mask that meet the labels"
        )
    there = np.flatnonzero(n := np.bincount(region, minlength=wanted.size))
    mean, median, variance = (
        dict(zip(there, of(values, region, there))) for of in (ndimage.mean, ndimage.median, ndimage.variance)
    )
    cell = float(np.prod(voxel_mm))
    return [
        {
            "label": int(label),
            "name": names.get(int(label), ""),
            "voxels": int(count),
            "volume_mm3": round(int(count) * cell, 6),
            "mean": float(mean.get(i, np.nan)),
            "sd": float((variance[i] * count / (count - 1)) ** 0.5) if count > 1 else float("nan"),
            "median": float(median.get(i, np.nan)),
        }
        for i, (label, count) in enumerate(zip(wanted, n))
    ]


def whole_labels(labels: np.ndarray) -> np.ndarray:
    """Labels as int64: 6 where a file's scaling left 5.999999. InputError where one is off by more than 0.001."""
    with np.errstate(invalid="ignore"):
        whole = np.rint(labels).astype(np.int64)
        off = np.abs(labels - whole)
    if not off.max(initial=0) <= 1e-3:  # NaN too
        odd = np.ravel(labels)[np.argmax(~(off <= 1e-3))]
        raise InputError(
            f"the labels are not whole numbers, there is {odd:.6g}; give a label image, or threshold a probability map "
            "first"
        )
    return whole
