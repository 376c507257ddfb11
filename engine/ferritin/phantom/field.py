"""The magnetic field of a susceptibility map in open space, exact for cells of constant susceptibility; and the shim.

The cell's own field is known in closed form (a uniformly magnetised prism); the sum over cells is a convolution on a
doubled grid, done plane by plane so that the doubled spectrum is never held. Reconstruction uses other kernels on
other grids: that the phantom and the inversion agree is therefore no accident of a shared discretisation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import scipy.fft

from ferritin.backend import cpu_count, fast_length

_BLOCK = 8


def field(chi: np.ndarray, cell_mm: Sequence[float], b0_dir: Sequence[float], outside: float = 0.0) -> np.ndarray:
    """Field [ppm of B0] at the cells' centres of a susceptibility map that lies in an endless medium.

    Parameters
    ----------
    chi : (x, y, z) float32 [ppm]
    cell_mm : three float [mm]
    b0_dir : three float
        Unit vector of B0 in array axes.
    outside : float [ppm]
        Susceptibility of the medium around, air for a head.

    Returns
    -------
    (x, y, z) float32 [ppm]
        Sphere of Lorentz removed; 0 inside a sphere, (2/3) χ (R/r)³ on its axis along B0.

    References
    ----------
    Newell AJ, Williams W, Dunlop DJ. J Geophys Res 1993;98:9551, the magnetometric tensor of a prism;
    Hockney RW. Methods Comput Phys 1970;9:135, convolution on a doubled grid.
    """
    box = _where_it_differs(chi, outside)
    source = chi[box].astype(np.float32) - np.float32(outside)
    half = [fast_length(2 * max(s.stop, n - s.start)) // 2 for n, s in zip(chi.shape, box)]  # the farthest distance
    kernel = _kernel_spectra(half, cell_mm, b0_dir)
    lead = [s.start for s in box]
    return _convolve(source, lead, chi.shape, half, kernel)


def _where_it_differs(chi: np.ndarray, outside: float) -> tuple[slice, ...]:
    box = []
    differs = chi != np.float32(outside)
    for axis in range(3):
        there = np.flatnonzero(differs.any(axis=tuple({0, 1, 2} - {axis})))
        box.append(slice(there[0], there[-1] + 1) if there.size else slice(0, 1))
    return tuple(box)


def _convolve(source, lead, shape, half, kernel) -> np.ndarray:
    """Convolve with the kernel; the x axis is transformed for some rows of y at a time."""
    double, workers = [2 * h for h in half], cpu_count()
    spectrum = scipy.fft.rfft(source, double[2], axis=2, workers=workers)
    spectrum = scipy.fft.fft(spectrum, double[1], axis=1, workers=workers, overwrite_x=True)
    nx = shape[0]
    first = (np.arange(nx) - lead[0]) % double[0]  # the source sits at 0: read the answer shifted back
    out = np.empty((nx, *spectrum.shape[1:]), np.complex64)
    for row in range(0, double[1], _BLOCK):
        rows = slice(row, min(row + _BLOCK, double[1]))
        block = scipy.fft.fft(spectrum[:, rows], double[0], axis=0, workers=workers)
        block *= _kernel_rows(kernel, np.arange(rows.start, rows.stop), half)
        out[:, rows] = scipy.fft.ifft(block, axis=0, workers=workers, overwrite_x=True)[first]
    del spectrum
    rows = (np.arange(shape[1]) - lead[1]) % double[1]
    out = scipy.fft.ifft(out, axis=1, workers=workers, overwrite_x=True)[:, rows]
    columns = (np.arange(shape[2]) - lead[2]) % double[2]
    return scipy.fft.irfft(out, double[2], axis=2, workers=workers, overwrite_x=True)[:, :, columns].copy()


def _kernel_spectra(half, cell_mm, b0_dir) -> dict[tuple[int, ...], np.ndarray]:
    """Real spectra of the kernel's parts on one octant, by the axes along which a part is odd: none, or two of them.

    A part that is even along an axis transforms by cosines, one that is odd by sines; two sines make a sign of -1.
    """
    parts = {(): [(i, i, b0_dir[i] ** 2) for i in range(3)]}
    for i, j in itertools.combinations(range(3), 2):
        parts[i, j] = [(i, j, 2 * b0_dir[i] * b0_dir[j])]
    out = {}
    for odd, terms in parts.items():
        terms = [t for t in terms if abs(t[2]) > 1e-12]
        if not terms:
            continue
        part = _octant(half, cell_mm, terms)
        if not odd:  # the sphere of Lorentz, in the cell itself
            part[0, 0, 0] += np.float32(sum(weight for *_, weight in terms) / 3)
        for axis in range(3):
            part = _sine(part, axis) if axis in odd else scipy.fft.dct(part, 1, axis=axis, workers=cpu_count())
        out[odd] = -part if odd else part
    return out


def _sine(part: np.ndarray, axis: int) -> np.ndarray:
    """Sine transform of an odd function given from 0 to the half period, where it is 0."""
    inner = [slice(None)] * 3
    inner[axis] = slice(1, -1)
    out = np.zeros_like(part)
    out[tuple(inner)] = scipy.fft.dst(part[tuple(inner)], 1, axis=axis, workers=cpu_count())
    return out


def _octant(half, cell_mm, terms) -> np.ndarray:
    """Minus the demagnetising tensor's terms for distances of 0 to `half` cells, float32.

    The prism's field is a triple difference over its corners; float64, for the corners nearly cancel far away.
    """
    shape = [h + 1 for h in half]
    out = np.zeros(shape, np.float32)
    step = max(1, (1 << 21) // (shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        x, y, z = np.meshgrid(
            (np.arange(start, stop + 1) - 0.5) * cell_mm[0],
            *((np.arange(n + 1) - 0.5) * d for n, d in zip(shape[1:], cell_mm[1:])),
            indexing="ij", sparse=True,
        )  # fmt: skip
        corner = sum(weight * _corner(i, j, (x, y, z)) for i, j, weight in terms)
        for axis in range(3):
            corner = np.diff(corner, axis=axis)
        out[start:stop] = corner / (4 * math.pi)
    return out


def _corner(i: int, j: int, p: tuple[np.ndarray, ...]) -> np.ndarray:
    """Primitive of the tensor's element ij, its sign such that the field of a cell of χ = 1 comes out."""
    r = np.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2)
    if i == j:
        k, m = (a for a in range(3) if a != i)
        return -np.arctan(p[k] * p[m] / (p[i] * r))
    return np.log(p[3 - i - j] + r)


def _kernel_rows(kernel, rows: np.ndarray, half) -> np.ndarray:
    """The kernel's spectrum for all kx, some ky and kz >= 0."""
    kx = np.arange(2 * half[0])
    fold_x, fold_y = np.minimum(kx, 2 * half[0] - kx), np.minimum(rows, 2 * half[1] - rows)
    sign = {0: np.where(kx > half[0], -1, 1)[:, None, None], 1: np.where(rows > half[1], -1, 1)[None, :, None]}
    out = np.zeros((len(kx), len(rows), half[2] + 1), np.float32)
    for odd, part in kernel.items():
        block = part[:, fold_y][fold_x]
        for axis in odd:
            if axis in sign:
                block = block * sign[axis].astype(np.float32)
        out += block
    return out


def shim(total: np.ndarray, region: np.ndarray, cell_mm: Sequence[float], order: int = 2) -> np.ndarray:
    """Take out of a field what the scanner's shim coils can: solid harmonics up to an order, fitted over a region.

    Changes `total` in place and returns it. Least squares on some ten thousand cells of the region.
    """
    axes = [((np.arange(n) - n // 2) * d).astype(np.float64) for n, d in zip(total.shape, cell_mm)]
    scale = max(abs(a[0]) for a in axes)
    index = np.argwhere(region)
    index = index[:: max(1, len(index) // 30000)]
    at = [a[i] / scale for a, i in zip(axes, index.T)]
    harmonics = _harmonics(order)
    matrix = np.stack([h(*at) for h in harmonics], 1)
    weight = np.linalg.lstsq(matrix, total[tuple(index.T)].astype(np.float64), rcond=None)[0]
    x, y, z = np.meshgrid(*((a / scale).astype(np.float32) for a in axes), indexing="ij", sparse=True)
    for plane in range(total.shape[0]):
        total[plane] -= sum(np.float32(w) * h(x[plane], y[0], z[0]) for w, h in zip(weight, harmonics))
    return total


def _harmonics(order: int) -> list:
    out = [lambda x, y, z: np.ones(np.broadcast(x, y, z).shape, np.asarray(x).dtype)]
    if order > 0:
        out += [lambda x, y, z: x + 0 * y + 0 * z, lambda x, y, z: y + 0 * x + 0 * z, lambda x, y, z: z + 0 * x + 0 * y]
    if order > 1:
        out += [
            lambda x, y, z: x * y + 0 * z,
            lambda x, y, z: x * z + 0 * y,
            lambda x, y, z: y * z + 0 * x,
            lambda x, y, z: x * x - y * y + 0 * z,
            lambda x, y, z: 2 * z * z - x * x - y * y,
        ]
    return out
