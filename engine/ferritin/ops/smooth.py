"""Gaussian smoothing of real or complex maps through a coarse grid, by one matrix product per axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import namespace

_NOTHING = 1e-10  # of a kernel's weights: products with smaller ones are denormal numbers, a hundred times as slow


class CoarseGaussian:
    """A Gaussian filter whose result is kept on a coarse grid, and linearly interpolated back.

    Made for maps that are smooth by nature (coil sensitivities, phase offsets): the cost is that of three thin matrix
    products whatever the width, and the coarse map is small enough to be kept. Near the border the kernel is cut and
    renormalised, so constants pass unchanged.

    Parameters
    ----------
    xp : array namespace
    shape : three int
        Grid of the maps, (x, y, z).
    voxel_mm : three floats [mm]
    sigma_mm : float [mm]
        Standard deviation of the Gaussian.
    step : float
        Spacing of the coarse grid in standard deviations, at most.

    Attributes
    ----------
    coarse_shape : three int
    noise_gain : float
        Noise sd of the coarse map, on average, over that of the map.
    """

    def __init__(
        self, xp: Any, shape: tuple[int, ...], voxel_mm: tuple[float, ...], sigma_mm: float, step: float = 0.8
    ):
        pairs = [_axis(n, v, sigma_mm, step * sigma_mm) for n, v in zip(shape, voxel_mm)]
        self._down = [xp.asarray(down) for down, _ in pairs]
        self._up = [xp.asarray(up) for _, up in pairs]
        self.noise_gain = float(np.prod([np.sqrt((down**2).sum(1).mean()) for down, _ in pairs]))
        self.coarse_shape = tuple(down.shape[0] for down, _ in pairs)

    def down(self, x: Any) -> Any:
        """(x, y, z) to the coarse grid; keeps the dtype."""
        return _along_all(self._down, x)

    def up(self, coarse: Any) -> Any:
        """Coarse grid to (x, y, z); keeps the dtype."""
        return _along_all(self._up, coarse)

    def __call__(self, x: Any) -> Any:
        """Smooth a map."""
        return self.up(self.down(x))


def _axis(n: int, voxel: float, sigma: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Smoothing (m, n) and interpolation (n, m) matrices of one axis, float32."""
    length = (n - 1) * voxel
    m = min(n, 2 + int(length / step))
    if n == 1 or m >= n:  # the grid is no finer than the kernel: smooth on the grid itself
        at, up = np.arange(n) * voxel, np.eye(n)
    else:
        at = np.linspace(0, length, m)
        up = np.maximum(0, 1 - np.abs(np.arange(n)[:, None] * voxel - at) / at[1])
    down = np.exp(-0.5 * ((at[:, None] - np.arange(n) * voxel) / sigma) ** 2)
    down /= down.sum(1, keepdims=True)
    down[down < _NOTHING] = 0
    return down.astype(np.float32), up.astype(np.float32)


def _along_all(matrices: list[Any], x: Any) -> Any:
    """Apply one matrix per axis: each takes the first axis and puts its result last, so that three restore the order.

    Complex data go through the real matrices as pairs, which come out of the last product as two maps.
    """
    pairs = x.dtype.kind == "c"
    if pairs:
        x = (x if x.flags.c_contiguous else x.copy()).view(x.real.dtype).reshape(*x.shape, 2)
    for matrix in matrices:
        x = (x.reshape(x.shape[0], -1).T @ matrix.T.astype(x.dtype, copy=False)).reshape(*x.shape[1:], -1)
    if not pairs:
        return x
    out = namespace(x).empty(x.shape[1:], np.result_type(x.dtype, np.complex64))
    out.real, out.imag = x
    return out
