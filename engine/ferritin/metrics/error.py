"""Error norms over a region: RMSE, NRMSE, detrended NRMSE, mean and median absolute error, correlation.

Every function takes the map, the truth and a boolean region of one shape, works in float64 and returns a float.
Percent norms are NaN where the truth does not vary in the region: there is nothing to divide by.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def linear_fit(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Slope and intercept of the least-squares line y = slope x + intercept; NaN where x does not vary."""
    x, y = np.asarray(x, np.float64).ravel(), np.asarray(y, np.float64).ravel()
    if x.size < 2 or np.ptp(x) == 0:
        return math.nan, math.nan
    dx = x - x.mean()
    slope = float(dx @ (y - y.mean()) / (dx @ dx))
    return slope, float(y.mean() - slope * x.mean())


def rmse(chi: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """100 ‖x - t‖ / ‖t‖ [%] without removing the means, as in the 2016 challenge.

    References
    ----------
    Langkammer C, et al. Magn Reson Med 2018;79:1661.
    """
    x, t = _values(chi, truth, region)
    return _percent(x - t, t)


def nrmse(chi: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """100 ‖x - t‖ / ‖t‖ [%], the mean of each map over the region removed first.

    References
    ----------
    QSM Challenge 2.0 Organization Committee. Magn Reson Med 2021;86:1241.
    """
    x, t = _values(chi, truth, region)
    t = t - t.mean()
    return _percent(x - x.mean() - t, t)


def nrmse_detrended(chi: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """NRMSE [%] after taking the linear relation out: fit x = s t + o, score (x - o) / s against t.

    It can be larger than NRMSE: dividing by a slope below one scales the errors up. NaN when the fitted slope is 0.

    References
    ----------
    QSM Challenge 2.0 Organization Committee. Magn Reson Med 2021;86:1241.
    """
    x, t = _values(chi, truth, region)
    slope, intercept = linear_fit(t, x)
    if not slope:
        return math.nan
    return _percent((x - intercept) / slope - t, t - t.mean())


def mean_absolute_error(chi: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """Mean |x - t| in the unit of the maps, the mean of each map over the region removed first."""
    x, t = _values(chi, truth, region)
    return float(np.abs((x - x.mean()) - (t - t.mean())).mean())


def median_error(chi: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """Median |x - t| in the unit of the maps, nothing removed: a few voids or fits that ran away do not rule it."""
    x, t = _values(chi, truth, region)
    return float(np.median(np.abs(x - t)))


def correlation(chi: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """Pearson correlation over the region; NaN where one of the maps does not vary."""
    x, t = _values(chi, truth, region)
    x, t = x - x.mean(), t - t.mean()
    scale = math.sqrt((x @ x) * (t @ t))
    return float(x @ t / scale) if scale else math.nan


def _values(chi: np.ndarray, truth: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not np.any(region):
        return np.full(1, np.nan), np.full(1, np.nan)
    return chi[region].astype(np.float64), truth[region].astype(np.float64)


def _percent(error: np.ndarray, truth: np.ndarray) -> float:
    scale = float(np.linalg.norm(truth))
    return 100 * float(np.linalg.norm(error)) / scale if scale else math.nan
