"""Readout lines to image space: samples placed by the centre of the echo, transformed, oversampling cropped."""

from __future__ import annotations

import numpy as np

from ferritin import backend
from ferritin.io.geometry import Axis
from ferritin.io.readout import reach
from ferritin.kspace.fourier import wrapped


def placed(n_samples: int, head: np.void, n_encoded: int) -> tuple[slice, int]:
    """Which samples of a line are used (in forward order), and the k-space step of the first one.

    Samples to be discarded and those beyond the encoded matrix are left out. A line reversed about its centre reaches
    one step further on the other side: +N/2, which is the same frequency of the grid as -N/2, is kept when that one is
    not measured itself.
    """
    first, stop, centre = reach(n_samples, head)
    half = n_encoded // 2
    low = max(first - centre, -half)
    high = min(stop - centre, half + 1, low + n_encoded)
    return slice(low + centre, max(high, low) + centre), low


def used(lines: np.ndarray, head: np.void, n_encoded: int) -> tuple[np.ndarray, int]:
    """The samples (line, coil, sample) that are used, in forward order, and the k-space step of the first one."""
    use, low = placed(lines.shape[-1], head, n_encoded)
    return (lines[..., ::-1] if head["reversed"] else lines)[..., use], low


def remove_oversampling(lines: np.ndarray, head: np.void, axis: Axis) -> np.ndarray:
    """Transform lines of one kind along the readout and keep the field of view.

    Parameters
    ----------
    lines : (line, coil, sample) complex64, as measured
    head : their row in the table of acquisitions: centre, direction, samples to discard
    axis : the readout axis

    Returns
    -------
    (coil, line, x) complex64, orthonormal: noise keeps its level.

    Notes
    -----
    The samples are never decimated: cropping in image space after the full transform is exact.
    """
    n_lines, n_coils, _ = lines.shape
    forward, low = used(lines, head, axis.n_encoded)
    buffer = np.zeros((n_lines, n_coils, axis.n_fft), np.complex64)
    n_negative = min(max(-low, 0), forward.shape[-1])
    buffer[..., axis.n_fft + low : axis.n_fft + low + n_negative] = forward[..., :n_negative]
    start = max(low, 0)
    rest = forward[..., n_negative:]
    fits = min(rest.shape[-1], axis.n_fft - start)
    buffer[..., start : start + fits] = rest[..., :fits]
    image = backend.ifftn(buffer, axes=(-1,), norm="ortho", overwrite_x=True)
    out = np.empty((n_coils, n_lines, axis.n), np.complex64)
    for to, source in wrapped(axis.n, axis.n_fft):
        out[..., to] = image[..., source].swapaxes(0, 1)
    return out
