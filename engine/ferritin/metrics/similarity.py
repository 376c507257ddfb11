"""Measures that look at neighbourhoods: XSIM with its two windows in circulation, and HFEN."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy import ndimage

Window = Literal["uniform", "gaussian"]


def xsim_map(chi: np.ndarray, truth: np.ndarray, window: Window = "uniform", radius: int | None = None) -> np.ndarray:
    """Structural similarity of every voxel, tuned for susceptibility: L = 1 ppm, K1 = 0.01, K2 = 0.001, no rescaling.

    Parameters
    ----------
    chi, truth : (x, y, z) [ppm]
    window : "uniform" or "gaussian"
        uniform: 5 x 5 x 5 box, cut off at the array's border (QSM.rs, QSM-CI). gaussian: standard deviation 1.5 voxels
        on 7 x 7 x 7, reflected at the border (FANSI). Their values differ by some hundredths: always say which.
    radius : int, optional [voxels]
        Half-width of the window; 2 for uniform and 3 for gaussian when not given.

    Returns
    -------
    (x, y, z) float64
        (2 μx μt + C1)(2 σxt + C2) / ((μx² + μt² + C1)(σx² + σt² + C2)), C1 = (K1 L)², C2 = (K2 L)², population moments.

    References
    ----------
    Milovic C, Tejos C, Silva J, Shmueli K, Irarrazaval P. XSIM: a structural similarity index measure optimized for
    MRI QSM. Magn Reson Med 2025;93:411.
    """
    x, t = chi.astype(np.float64), truth.astype(np.float64)
    local_mean = _local_mean(x.shape, window, radius)
    mean_x, mean_t = local_mean(x), local_mean(t)
    var_x, var_t = local_mean(x * x) - mean_x**2, local_mean(t * t) - mean_t**2
    covariance = local_mean(x * t) - mean_x * mean_t
    c1, c2 = 1e-4, 1e-6
    return ((2 * mean_x * mean_t + c1) * (2 * covariance + c2)) / ((mean_x**2 + mean_t**2 + c1) * (var_x + var_t + c2))


def xsim(chi: np.ndarray, truth: np.ndarray, mask: np.ndarray, window: Window = "uniform") -> float:
    """Mean of `xsim_map` over the mask, both maps set to 0 outside the mask first: 1 for equal maps."""
    if not np.any(mask):
        return math.nan
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    box = tuple(slice(max(s.start - 3, 0), s.stop + 3) for s in box)
    chi, truth, mask = chi[box], truth[box], mask[box]
    return float(xsim_map(np.where(mask, chi, 0), np.where(mask, truth, 0), window)[mask].mean())


def hfen(chi: np.ndarray, truth: np.ndarray, mask: np.ndarray, sigma: float = 1.5) -> float:
    """High-frequency error norm [%]: 100 ‖LoG(x) - LoG(t)‖ / ‖LoG(t)‖ over the mask.

    LoG is the Laplacian of a Gaussian of `sigma` voxels on 15³ voxels. Both maps are set to 0 outside the mask first,
    so that what a method leaves there does not count; values from maps filtered before masking are not comparable.

    References
    ----------
    Ravishankar S, Bresler Y. IEEE Trans Med Imaging 2011;30:1028; Langkammer C, et al. Magn Reson Med 2018;79:1661.
    """
    error, fine = (
        ndimage.gaussian_laplace(np.where(mask, v, 0).astype(np.float64), sigma, radius=7)[mask]
        for v in (chi - truth, truth)
    )
    scale = float(np.linalg.norm(fine))
    return 100 * float(np.linalg.norm(error)) / scale if scale else math.nan


def _local_mean(shape: tuple[int, ...], window: Window, radius: int | None):
    """The window's weighted mean as a function of an array."""
    if window == "gaussian":
        return lambda v: ndimage.gaussian_filter(v, 1.5, radius=radius or 3, mode="reflect")
    if window != "uniform":
        raise ValueError(f"window {window!r} is not known; expected 'uniform' or 'gaussian'")
    box = 2 * (radius or 2) + 1
    share = ndimage.uniform_filter(np.ones(shape), box, mode="constant")
    return lambda v: ndimage.uniform_filter(v, box, mode="constant") / share
