"""Filters in k-space in three sweeps over memory: planes forward, columns there and back, planes inverse.

Every slab is transformed, changed and transformed back while the processor's cache holds it, and rows that are known to
be zero, or that nobody reads, are left out. On a GPU the same by whole volumes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft

from ferritin.backend import count_transforms, irfftn, namespace, rfftn
from ferritin.ops.slabs import each, slabs

Triple = tuple[int, int, int]
Part = tuple[slice, slice]
"""Of a half spectrum, along x and y; all of z."""
Work = Callable[[Any, Part], None]
"""work(spectrum, part) changes that part of a half spectrum in place."""


def filtered(x: Any, shape: Triple, work: Work, keep: Triple | None = None) -> Any:
    """The inverse transform of what `work` makes of x's half spectrum.

    Parameters
    ----------
    x : (x, y, z) float32, at the corner of a periodic box that is zero elsewhere.
    shape : of the box.
    keep : shape of the corner that is returned; the whole box when None.
    """
    keep = keep or shape
    if namespace(x) is not np:
        spectrum = rfftn(x, shape)
        work(spectrum, (slice(None), slice(None)))
        out = irfftn(spectrum, shape)[tuple(slice(n) for n in keep)]
        return namespace(x).ascontiguousarray(out)  # sums over a view run in one block, and it holds the whole box
    spectrum, out = _planes_forward(x, shape), np.empty(keep, np.float32)
    _columns([spectrum], work, forward=True)
    _planes_inverse(spectrum, shape, keep, out.__setitem__)
    return out


def twice(x: Any, work: Work, between: Callable[[slice, Any], None]) -> Any:
    """A filter of a whole periodic volume, something in space, and the filter again: A·W·A without a volume for W.

    between : called as between(s, values) with the filtered planes s, which it changes in place.
    """
    shape = x.shape
    if namespace(x) is not np:
        middle = filtered(x, shape, work)
        between(slice(0, shape[0]), middle)
        return filtered(middle, shape, work)
    spectrum, out = _planes_forward(x, shape), np.empty(shape, np.float32)
    _columns([spectrum], work, forward=True)
    count_transforms(4)

    def part(s: slice) -> None:
        here = spectrum[s]
        _in_place(scipy.fft.ifft, here, 1)
        values = scipy.fft.irfft(here, shape[2])
        between(s, values)
        here[...] = scipy.fft.rfft(values)
        _in_place(scipy.fft.fft, here, 1)

    each(part, slabs(np, spectrum.shape))
    _columns([spectrum], work, forward=True)
    _planes_inverse(spectrum, shape, shape, out.__setitem__)
    return out


def inverse(spectrum: Any, shape: Triple, work: Work, keep: Triple, take: Callable[[slice, Any], None]) -> None:
    """The inverse transform of a half spectrum after `work` has changed, or written, it. Destroys the spectrum.

    keep : shape of the corner that is made.
    take : called as take(s, x) with the planes s of the corner, on several threads.
    """
    if namespace(spectrum) is np:
        _columns([spectrum], work, forward=False)
        _planes_inverse(spectrum, shape, keep, take)
    else:
        work(spectrum, (slice(None), slice(None)))
        take(slice(0, keep[0]), irfftn(spectrum, shape)[tuple(slice(n) for n in keep)])


def planes_forward(x: Any, shape: Triple, of: Callable[[slice, Any], Any] | None = None) -> Any:
    """The first sweep alone, for volumes that a filter couples: next, `columns`, then `planes_inverse` of each.

    x, shape : as in `filtered`.
    of : of(s, x[s]) is transformed in place of the planes x[s], without a volume for it.
    """
    if namespace(x) is not np:
        return rfftn(x if of is None else of(slice(0, x.shape[0]), x), shape)
    return _planes_forward(x, shape, of)


def columns(spectra: list[Any], work: Callable[..., None]) -> None:
    """The second sweep: work(*parts of the half spectra, part) changes them in place."""
    if namespace(*spectra) is np:
        _columns(spectra, work, forward=True)
    else:
        work(*spectra, (slice(None), slice(None)))


def planes_inverse(spectrum: Any, shape: Triple, take: Callable[[slice, Any], None] | None = None) -> Any:
    """The last sweep: the volume, or None when `take` gets its planes as in `inverse`. Destroys the spectrum."""
    if namespace(spectrum) is not np:
        out = irfftn(spectrum, shape)
        return out if take is None else take(slice(0, shape[0]), out)
    out = np.empty(shape, np.float32) if take is None else None
    _planes_inverse(spectrum, shape, shape, take or out.__setitem__)
    return out


def _planes_forward(x: np.ndarray, shape: Triple, of: Callable[[slice, Any], Any] | None = None) -> np.ndarray:
    """The transform along y and z."""
    count_transforms(2, shape)
    spectrum = np.empty((*shape[:2], shape[2] // 2 + 1), np.complex64)
    rows = x.shape[1]

    def part(s: slice) -> None:
        here = spectrum[s]
        if s.start >= x.shape[0]:
            here[...] = 0
            return
        have = min(s.stop, x.shape[0]) - s.start
        here[:have, :rows] = scipy.fft.rfft(x[s] if of is None else of(s, x[s]), shape[2])
        here[:have, rows:] = 0
        here[have:] = 0
        _in_place(scipy.fft.fft, here[:have], 1)

    each(part, slabs(np, spectrum.shape))
    return spectrum


def _columns(spectra: list[np.ndarray], work: Callable[..., None], *, forward: bool) -> None:
    """Along x: the transforms where they are still to be done, the work, and the inverses."""
    count_transforms(len(spectra) * (2 if forward else 1))
    nx, ny, nz = spectra[0].shape

    def part(s: slice) -> None:
        here = [spectrum[:, s] for spectrum in spectra]
        if forward:
            for x in here:
                _in_place(scipy.fft.fft, x, 0)
        work(*here, (slice(None), s))
        for x in here:
            _in_place(scipy.fft.ifft, x, 0)

    each(part, slabs(np, (ny, len(spectra) * nx, nz)))


def _planes_inverse(spectrum: np.ndarray, shape: Triple, keep: Triple, take: Callable[[slice, Any], None]) -> None:
    """The inverse along y and z of the planes and rows that are kept."""
    count_transforms(2)

    def part(s: slice) -> None:
        here = spectrum[s]
        _in_place(scipy.fft.ifft, here, 1)
        take(s, scipy.fft.irfft(here[:, : keep[1]], shape[2])[..., : keep[2]])

    each(part, slabs(np, (keep[0], *spectrum.shape[1:])))


def _in_place(transform: Callable[..., Any], x: np.ndarray, axis: int) -> None:
    """One axis of a complex array; scipy may write into it, and does, but does not promise to."""
    y = transform(x, axis=axis, overwrite_x=True)
    if not np.may_share_memory(x, y):
        x[...] = y
