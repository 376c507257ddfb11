"""The box that a stage works in: the mask's bounding box plus a margin, padded to lengths that the FFT likes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ferritin.backend import fast_length, namespace
from ferritin.errors import InputError
from ferritin.ops.slabs import each, slabs

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Box:
    """A padded box around the mask.

    full: shape of the whole volume; start, stop: the part of it that is copied; offset: where that part lies in the
    box; shape: lengths of the box, each fit for real FFTs.
    """

    full: Triple
    start: Triple
    stop: Triple
    offset: Triple
    shape: Triple

    @classmethod
    def around(cls, mask: Any, margin: tuple[float, float, float], *, rim: int = 0) -> Box:
        """The box around a mask.

        Parameters
        ----------
        mask : (x, y, z) bool
        margin : three floats [voxels]
            Empty voxels between the mask and its periodic image, along each axis; rounded up.
        rim : int [voxels]
            Voxels beside the mask that are copied too, where the volume has them.

        Raises
        ------
        InputError
            The mask is empty.
        """
        xp = namespace(mask)
        bounds = []
        for axis in range(3):
            line = mask.any(axis=tuple(a for a in range(3) if a != axis))
            where = xp.flatnonzero(line)
            if where.size == 0:
                raise InputError("the mask is empty, expected at least one voxel; give a mask with --mask")
            bounds.append((int(where[0]), int(where[-1]) + 1))
        full = tuple(mask.shape)
        start = tuple(max(0, lo - rim) for lo, _ in bounds)
        stop = tuple(min(n, hi + rim) for n, (_, hi) in zip(full, bounds))
        shape = tuple(fast_length(hi - lo + max(2 * rim, int(-(-m // 1)))) for (lo, hi), m in zip(bounds, margin))
        offset = tuple((n - (hi - lo)) // 2 for n, lo, hi in zip(shape, start, stop))
        return cls(full, start, stop, offset, shape)

    def tight(self) -> Box:
        """The part that is copied alone, without padding."""
        shape = tuple(hi - lo for lo, hi in zip(self.start, self.stop))
        return replace(self, offset=(0, 0, 0), shape=shape)

    @property
    def _outer(self) -> tuple[slice, ...]:
        return tuple(slice(lo, hi) for lo, hi in zip(self.start, self.stop))

    @property
    def _inner(self) -> tuple[slice, ...]:
        return tuple(slice(o, o + hi - lo) for o, lo, hi in zip(self.offset, self.start, self.stop))

    def crop(self, volume: Any) -> Any:
        """A new array of the box's shape and the volume's dtype, zero where nothing was copied. Leading axes pass."""
        out = namespace(volume).zeros((*volume.shape[:-3], *self.shape), dtype=volume.dtype)
        _copy(volume[(..., *self._outer)], out[(..., *self._inner)])
        return out

    def place(self, inside: Any) -> Any:
        """The adjoint of crop: a whole volume, zero outside the box."""
        out = namespace(inside).zeros((*inside.shape[:-3], *self.full), dtype=inside.dtype)
        _copy(inside[(..., *self._inner)], out[(..., *self._outer)])
        return out


def _copy(source: Any, target: Any) -> None:
    """On all cores, each of which also takes the new memory that it writes."""

    def part(s: slice) -> None:
        target[..., s, :, :] = source[..., s, :, :]

    each(part, slabs(namespace(source), source.shape[-3:]))
