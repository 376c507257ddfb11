"""How well a calcification is drawn: the deviation of its susceptibility moment, and the streaks around it."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from ferritin.metrics.error import linear_fit

CALCIFICATION = 16


def calcification(chi: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Deviation of the calcification's moment [ppm voxels] and strength of the streaks around it [1].

    The bounding box of label 16 grown by 3 voxels is the box; 4 voxels more are the rim, another 4 the outer shell. The
    threshold is the least negative of 0, -0.01, ... -3.5 ppm that no voxel of the two shells lies below; voxels of the
    box below it are the calcification as drawn by the map.

    moment deviation: |sum of the truth over label 16 - sum of the map over the calcification as drawn|.
    streak: standard deviation of what a line through (truth, map) leaves in the rim, over |mean of the drawn voxels|.

    NaN without label 16; when nothing is drawn, the deviation is the whole moment and the streak NaN.

    References
    ----------
    Marques JP, et al. Magn Reson Med 2021;86:526; QSM Challenge 2.0. Magn Reson Med 2021;86:1241.
    """
    lesion = labels == CALCIFICATION
    if not lesion.any():
        return math.nan, math.nan
    moment = float(truth[lesion].sum(dtype=np.float64))
    box, rim, outer = (_grown(lesion, n) for n in (3, 7, 11))
    surroundings = chi[outer & ~box].astype(np.float64)
    steps = -np.arange(351) / 100
    clear = steps[steps <= surroundings.min(initial=0)]
    inside = chi[box].astype(np.float64)
    drawn = inside[inside < (clear[0] if clear.size else steps[-1])]
    if not drawn.size:
        return abs(moment), math.nan
    x, t = chi[rim & ~box].astype(np.float64), truth[rim & ~box].astype(np.float64)
    slope, intercept = linear_fit(t, x)
    return abs(moment - float(drawn.sum())), float(np.std(x - slope * t - intercept) / abs(drawn.mean()))


def _grown(lesion: np.ndarray, margin: int) -> np.ndarray:
    """The lesion's bounding box grown by a margin, as a mask."""
    out = np.zeros(lesion.shape, bool)
    box = ndimage.find_objects(lesion.astype(np.uint8))[0]
    out[tuple(slice(max(s.start - margin, 0), s.stop + margin) for s in box)] = True
    return out
