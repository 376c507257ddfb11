"""All metrics of one map against its truth, in one dictionary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ferritin.errors import InputError, ShapeError
from ferritin.metrics.calcification import calcification
from ferritin.metrics.error import correlation, mean_absolute_error, median_error, nrmse, nrmse_detrended, rmse
from ferritin.metrics.region import DEEP_GREY, TISSUE, slope_deviation, vessel_region
from ferritin.metrics.similarity import hfen, xsim


def evaluate(
    chi: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    labels: np.ndarray | None = None,
    voxel_mm: Sequence[float] = (1.0, 1.0, 1.0),
) -> dict[str, float]:
    """Score a map of susceptibility, or of field, against the truth.

    Parameters
    ----------
    chi, truth : (x, y, z) real [ppm]
        A field must be in ppm too: XSIM's constants are in ppm.
    mask : (x, y, z) bool
        What is scored, all of it: a voxel that the method left out (0) or where it failed (NaN, inf) counts with 0
        against the full truth. Outside, both maps are set to 0.
    labels : (x, y, z) int, optional
        Regions with the numbers of `LABELS`; adds the metrics of tissue, blood, deep grey matter and calcification.
    voxel_mm : three floats [mm]
        Voxel edges; the calcification's moment is given in ppm mm³.

    Returns
    -------
    dict of str to float
        rmse, nrmse, nrmse_detrended, hfen [%], xsim_uniform5, xsim_gauss7, correlation [1], mean_absolute_error,
        median_error [ppm], coverage [1]: share of the mask with a finite value other than 0. With labels:
        nrmse_tissue, nrmse_blood, nrmse_dgm (all detrended) [%], slope_deviation, dgm_slope, calcification_streak [1],
        calcification_moment_deviation [ppm mm³]. NaN where a metric has no meaning (no such label).

    Raises
    ------
    ShapeError
        The arrays differ in shape.
    InputError
        The mask is empty, or the truth is not finite in it.
    """
    mask = _checked(chi, truth, mask, labels)
    valid = mask & np.isfinite(chi)
    chi, truth = np.where(valid, chi, 0), np.where(mask, truth, 0)
    out = {
        "rmse": rmse(chi, truth, mask),
        "nrmse": nrmse(chi, truth, mask),
        "nrmse_detrended": nrmse_detrended(chi, truth, mask),
        "hfen": hfen(chi, truth, mask),
        "xsim_uniform5": xsim(chi, truth, mask, "uniform"),
        "xsim_gauss7": xsim(chi, truth, mask, "gaussian"),
        "correlation": correlation(chi, truth, mask),
        "mean_absolute_error": mean_absolute_error(chi, truth, mask),
        "median_error": median_error(chi, truth, mask),
        "coverage": float(np.count_nonzero(chi[mask]) / mask.sum()),
    }
    if labels is not None:
        out |= _region_scores(chi, truth, mask, labels, float(np.prod(voxel_mm)))
    return out


def _region_scores(chi, truth, mask, labels, voxel_mm3: float) -> dict[str, float]:
    deviation, slope = slope_deviation(chi, truth, mask, labels)
    moment, streak = calcification(chi, truth, labels)
    return {
        "nrmse_tissue": nrmse_detrended(chi, truth, mask & np.isin(labels, TISSUE)),
        "nrmse_blood": nrmse_detrended(chi, truth, vessel_region(mask, labels)),
        "nrmse_dgm": nrmse_detrended(chi, truth, mask & np.isin(labels, DEEP_GREY)),
        "slope_deviation": deviation,
        "dgm_slope": slope,
        "calcification_moment_deviation": moment * voxel_mm3,
        "calcification_streak": streak,
    }


def _checked(chi, truth, mask, labels) -> np.ndarray:
    """The mask as bool, after a look at what belongs together."""
    for name, value in {"truth": truth, "mask": mask, "labels": labels}.items():
        if value is not None and value.shape != chi.shape:
            raise ShapeError(f"{name} has shape {value.shape}, the map {chi.shape}; give files of one grid")
    mask = np.asarray(mask) > 0
    if not mask.any():
        raise InputError("the mask is empty: 0 voxels above 0; give the mask of the region to score")
    if not np.isfinite(truth[mask]).all():
        raise InputError("the truth holds NaN or inf inside the mask; score a region where the truth is known")
    return mask
