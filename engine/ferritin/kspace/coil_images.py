"""Coil images that are transformed when they are asked for, one coil and echo at a time."""

from __future__ import annotations

import numpy as np

from ferritin import backend
from ferritin.io.geometry import Axis
from ferritin.io.lines import Imaging
from ferritin.io.spool import Spool
from ferritin.kspace.fourier import wrapped


class SpooledCoilImages:
    """The artifact `coil_images`: images[coil, echo] is an (x, y, z) complex64 array, made anew at each access.

    Parameters
    ----------
    spool : lines after the readout transform
    imaging : where each line belongs
    order : for each echo, the numbers (in imaging) of its lines as they lie in the spool
    axes : x, y, z from k-space to image
    noise_sd : of the real and of the imaginary part; None when only its ratio between coils is known
    conjugate : negate the phase
    scale : what every image is multiplied with
    """

    dtype = np.dtype(np.complex64)
    ndim = 5

    def __init__(
        self,
        spool: Spool,
        imaging: Imaging,
        order: list[np.ndarray],
        axes: tuple[Axis, Axis, Axis],
        noise_sd: float | None,
        conjugate: bool,
        scale: float,
    ) -> None:
        self._spool, self._axes, self._conjugate, self._scale = spool, axes, conjugate, np.float32(scale)
        self._multislice = imaging.n_slices > 1
        self.noise_sd = noise_sd
        self.shape = (spool.n_coils, imaging.n_echoes, *(a.n for a in axes))
        self._places = [self._wrapped_places(imaging, lines) for lines in order]

    def _wrapped_places(self, imaging: Imaging, lines: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each layer: which lines of the echo it has, and their places in the flat wrapped (y, z) grid."""
        _, y, z = self._axes
        column = imaging.slice[lines] if self._multislice else imaging.kz[lines] % z.n_fft
        flat = (imaging.ky[lines] % y.n_fft).astype(np.int64) * self._n_columns + column
        layer = imaging.layer[lines]
        return [(np.flatnonzero(layer == i), flat[layer == i]) for i in range(int(layer.max()) + 1)]

    @property
    def _n_columns(self) -> int:
        return self.shape[4] if self._multislice else self._axes[2].n_fft

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        coil, echo = self._checked(index)
        grid = self._gridded(self._spool.read(coil, echo), echo)
        _, y, z = self._axes
        axes = (1,) if self._multislice or z.n_fft == 1 else (1, 2)
        image = backend.ifftn(grid, axes=axes, norm="ortho", overwrite_x=True)
        along_z = [(slice(None), slice(None))] if self._multislice else wrapped(z.n, z.n_fft)
        out = np.empty(self.shape[2:], np.complex64)
        for to_y, from_y in wrapped(y.n, y.n_fft):
            for to_z, from_z in along_z:
                np.multiply(image[:, from_y, from_z], self._scale, out=out[:, to_y, to_z])
        return np.conjugate(out, out=out) if self._conjugate else out

    def _checked(self, index: tuple[int, int]) -> tuple[int, int]:
        if not isinstance(index, tuple) or len(index) != 2:
            raise TypeError("coil images are read one at a time: images[coil, echo]")
        coil, echo = (int(i) for i in index)
        if not (0 <= coil < self.shape[0] and 0 <= echo < self.shape[1]):
            raise IndexError(f"coil {coil}, echo {echo} asked for, but there are {self.shape[:2]}")
        return coil, echo

    def _gridded(self, lines: np.ndarray, echo: int) -> np.ndarray:
        """Lines to (x, ky, kz) in wrapped order; lines of one place are averaged, places without a line stay zero."""
        x, y, _ = self._axes
        grid = np.zeros((x.n, y.n_fft, self._n_columns), np.complex64)
        flat = grid.reshape(x.n, -1)
        layers = self._places[echo]
        for which, places in layers:
            if len(layers) == 1:
                flat[:, places] = lines.T
            else:
                flat[:, places] += lines[which].T
        if len(layers) > 1:
            count = np.zeros(flat.shape[1], np.float32)
            for _, places in layers:
                count[places] += 1
            flat /= np.maximum(count, 1)
        return grid

    def close(self) -> None:
        """Give the scratch space back; no image can be read afterwards."""
        self._spool.close()
