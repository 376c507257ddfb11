"""From fine cells to what is sampled: the k-space that the scanner reaches, and which of its lines are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from ferritin.backend import cpu_count
from ferritin.errors import ParameterError


def centred_fft(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Unnormalised FFT with the zero of space and of frequency at n // 2."""
    x = scipy.fft.ifftshift(x, axes)
    return scipy.fft.fftshift(scipy.fft.fftn(x, axes=axes, workers=cpu_count(), overwrite_x=True), axes)


def centred_ifft(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Inverse of `centred_fft`."""
    x = scipy.fft.ifftshift(x, axes)
    return scipy.fft.fftshift(scipy.fft.ifftn(x, axes=axes, workers=cpu_count(), overwrite_x=True), axes)


def band_limited(fine: np.ndarray, shape: tuple[int, int, int], oversampling: int = 1) -> np.ndarray:
    """The image that a scanner of this matrix forms: k-space cut off without a filter, so with its Gibbs ringing.

    Parameters
    ----------
    fine : (X, Y, Z) complex64
        Signal on cells over the same field of view.
    shape : three int
        Image matrix.
    oversampling : int
        Of the readout (x): the image then covers so many fields of view, the middle one being the object's.

    Returns
    -------
    (oversampling * x, y, z) complex64
        A constant stays the same constant.
    """
    for axis in (2, 1, 0):
        n_fine, n = fine.shape[axis], shape[axis]
        if axis == 0 and oversampling > 1:
            wide = np.zeros((oversampling * n_fine, *fine.shape[1:]), fine.dtype)
            start = oversampling * n_fine // 2 - n_fine // 2
            wide[start : start + n_fine] = fine
            fine, n_fine, n = wide, oversampling * n_fine, oversampling * n
        k = centred_fft(fine, (axis,))
        start = n_fine // 2 - n // 2
        k = k[(slice(None),) * axis + (slice(start, start + n),)]
        fine = centred_ifft(k, (axis,)) * np.float32(n / n_fine)
    return fine


@dataclass(frozen=True, eq=False)
class Lines:
    """Measured lines in the order of measuring.

    ky, kz : int. calibration : lines of the fully sampled middle. on_grid : lines of the regular pattern.
    """

    ky: np.ndarray
    kz: np.ndarray
    calibration: np.ndarray
    on_grid: np.ndarray

    def __len__(self) -> int:
        return len(self.ky)


def sampled_lines(
    ny: int,
    nz: int,
    *,
    accel: tuple[int, int] = (1, 1),
    partial_fourier: float = 1.0,
    elliptical: bool = False,
    calibration: int = 24,
) -> Lines:
    """Choose the lines: every accel-th along y and z with a full middle, cut at one side of z, and to an ellipse.

    Raises ParameterError for values that no scanner would take.
    """
    if not 0.55 <= partial_fourier <= 1:
        raise ParameterError(f"partial Fourier {partial_fourier}; expected 0.55 to 1 of k-space along z")
    if min(accel) < 1 or max(accel) > 8:
        raise ParameterError(f"acceleration {accel[0]} x {accel[1]}; expected 1 to 8 along y and z")
    ky, kz = np.meshgrid(np.arange(ny), np.arange(nz), indexing="ij")
    y, z = ky - ny // 2, kz - nz // 2
    on_grid = (y % accel[0] == 0) & (z % accel[1] == 0)
    middle = np.ones_like(on_grid)
    for offset, factor in ((y, accel[0]), (z, accel[1])):
        if factor > 1:
            middle &= (offset >= -(calibration // 2)) & (offset < calibration - calibration // 2)
    middle &= max(accel) > 1
    take = on_grid | middle
    take &= kz >= round((1 - partial_fourier) * nz)
    if elliptical:
        take &= (2 * y / ny) ** 2 + (2 * z / nz) ** 2 <= 1
    order = np.lexsort((ky[take], kz[take]))
    return Lines(*(a[take][order] for a in (ky, kz, middle, on_grid)))
