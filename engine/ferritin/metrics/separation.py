"""Scores of separated sources (χ⁺, χ⁻): bias of region means, and what leaks into the other source's regions."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np


def roi_percentage_error(
    chi: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    labels: np.ndarray,
    regions: Iterable[int],
    min_voxels: int = 50,
    min_mean_ppm: float = 0.005,
) -> float:
    """Mean over the regions of 100 ((mean x - mean t) / mean t)².

    Regions of fewer than `min_voxels` voxels in the mask, or whose truth's mean is within `min_mean_ppm` of 0, are left
    out; NaN when none is left.

    References
    ----------
    Ridani D, et al. Magn Reson Med 2025, doi:10.1002/mrm.70468.
    """
    errors = []
    for index in regions:
        region = mask & (labels == index)
        if region.sum() < min_voxels:
            continue
        mean, target = (float(v[region].mean(dtype=np.float64)) for v in (chi, truth))
        if abs(target) >= min_mean_ppm:
            errors.append(100 * ((mean - target) / target) ** 2)
    return float(np.mean(errors)) if errors else math.nan


def leakage(chi: np.ndarray, mask: np.ndarray, labels: np.ndarray, regions: Iterable[int]) -> float:
    """Mean |x| [ppm] in regions that hold none of this source; NaN when they are not in the mask."""
    region = mask & np.isin(labels, list(regions))
    return float(np.abs(chi[region]).mean(dtype=np.float64)) if region.any() else math.nan
