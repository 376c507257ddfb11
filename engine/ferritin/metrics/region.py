"""Labels of the head phantoms, region means, and the slope over the deep-grey nuclei."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from ferritin.metrics.error import linear_fit

LABELS: Mapping[int, str] = {
    1: "caudate",
    2: "globus_pallidus",
    3: "putamen",
    4: "red_nucleus",
    5: "dentate",
    6: "substantia_nigra",
    7: "thalamus",
    8: "white_matter",
    9: "grey_matter",
    10: "csf",
    11: "vein",
    12: "fat",
    13: "bone",
    14: "air",
    15: "muscle_skin",
    16: "calcification",
    17: "haemorrhage",
}
"""Numbers of the QSM Challenge 2.0 head; 17 is ours."""

DEEP_GREY = (1, 2, 3, 4, 5, 6)
TISSUE = (7, 8, 9)
BLOOD = 11


def region_means(chi: np.ndarray, truth: np.ndarray, mask: np.ndarray, labels: np.ndarray) -> dict[str, dict]:
    """Voxels, mean and standard deviation of both maps for each label inside the mask, by the label's name."""
    out = {}
    for index in np.unique(labels[mask]):
        region = mask & (labels == index)
        x, t = chi[region].astype(np.float64), truth[region].astype(np.float64)
        out[LABELS.get(int(index), f"label_{index}")] = {
            "voxels": int(region.sum()),
            "mean": float(x.mean()),
            "sd": float(x.std()),
            "truth_mean": float(t.mean()),
            "truth_sd": float(t.std()),
        }
    return out


def slope_deviation(
    chi: np.ndarray, truth: np.ndarray, mask: np.ndarray, labels: np.ndarray, regions: tuple[int, ...] = DEEP_GREY
) -> tuple[float, float]:
    """How faithfully contrast between the deep-grey nuclei is kept: (|1 - slope|, slope).

    The slope is that of the line through the regions' means, map against truth. NaN with fewer than two regions.

    References
    ----------
    QSM Challenge 2.0 Organization Committee. Magn Reson Med 2021;86:1241.
    """
    there = [mask & (labels == index) for index in regions]
    means = [(truth[r].mean(dtype=np.float64), chi[r].mean(dtype=np.float64)) for r in there if r.any()]
    if len(means) < 2:
        return math.nan, math.nan
    slope, _ = linear_fit(*zip(*means))
    return abs(1 - slope), slope


def vessel_region(mask: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Veins inside the mask (label 11), grown by a 3 x 3 x 3 cube; the mask is not applied again (Challenge 2.0)."""
    return ndimage.binary_dilation(mask & (labels == BLOOD), np.ones((3, 3, 3), bool))
