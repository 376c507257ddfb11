"""How near a map is to the truth: the QSM challenge metrics, XSIM, source separation. Host arrays, any map in ppm."""

from ferritin.metrics.calcification import calcification
from ferritin.metrics.error import (
    correlation,
    linear_fit,
    mean_absolute_error,
    median_error,
    nrmse,
    nrmse_detrended,
    rmse,
)
from ferritin.metrics.region import BLOOD, DEEP_GREY, LABELS, TISSUE, region_means, slope_deviation, vessel_region
from ferritin.metrics.score import evaluate
from ferritin.metrics.separation import leakage, roi_percentage_error
from ferritin.metrics.similarity import hfen, xsim, xsim_map

__all__ = [
    "BLOOD",
    "DEEP_GREY",
    "LABELS",
    "TISSUE",
    "calcification",
    "correlation",
    "evaluate",
    "hfen",
    "leakage",
    "linear_fit",
    "mean_absolute_error",
    "median_error",
    "nrmse",
    "nrmse_detrended",
    "region_means",
    "rmse",
    "roi_percentage_error",
    "slope_deviation",
    "vessel_region",
    "xsim",
    "xsim_map",
]
