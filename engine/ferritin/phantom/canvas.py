"""A volume painted with tissues: every cell is one tissue, or a mixture of two, three bytes in all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ferritin.phantom.grid import Grid
from ferritin.phantom.shape import Shape
from ferritin.phantom.tissue import CODE

_FULL = 255
_SLACK_MM = 6.0  # bending the head moves a body by less than this


@dataclass(frozen=True)
class Layer:
    """A body to paint: its tissue, its thinnest diameter [mm] when that may be below a cell, and its box of cells."""

    tissue: str
    shape: Shape
    width_mm: float | None
    box: tuple[slice, slice, slice]

    @classmethod
    def of(cls, grid: Grid, tissue: str, shape: Shape, width_mm: float | None = None) -> Layer:
        """With the box of cells that the body may reach."""
        box = grid.box(np.array(shape.low) - _SLACK_MM, np.array(shape.high) + _SLACK_MM)
        return cls(tissue, shape, width_mm, box)

    def boxes(self, slab: slice) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
        """The part of the box within some planes: on the canvas, and counted from the first plane."""
        first, last = max(self.box[0].start, slab.start), min(self.box[0].stop, slab.stop)
        if first >= last or any(s.start >= s.stop for s in self.box[1:]):
            return None
        return (slice(first, last), *self.box[1:]), (slice(first - slab.start, last - slab.start), *self.box[1:])


class Canvas:
    """Tissue codes and their shares.

    Attributes
    ----------
    main, other : (x, y, z) uint8
        The tissue with the greater share, and the one beside it.
    share : (x, y, z) uint8 [1/255]
        Share of `other`, 0 to about one half.
    """

    def __init__(self, grid: Grid) -> None:
        self.cell = np.float32(np.mean(grid.cell_mm))
        self.main, self.other, self.share = (np.zeros(grid.shape, np.uint8) for _ in range(3))

    def draw(self, layer: Layer, slab: slice, xyz: tuple[np.ndarray, ...]) -> None:
        """Paint a body within some planes, whose coordinates are xyz. A thin one takes its share of cells it passes."""
        boxes = layer.boxes(slab)
        if boxes is None:
            return
        distance = layer.shape.distance(*(a[boxes[1]] for a in xyz))
        share, width = np.float32(1), layer.width_mm
        if width is not None and width < self.cell:
            distance = distance - (self.cell - np.float32(width)) / 2
            share = np.float32((width / self.cell) ** 2)
        self.cover(layer.tissue, boxes[0], distance, share)

    def cover(self, tissue: str, box: tuple[slice, ...], distance: np.ndarray, share: float = np.float32(1)) -> None:
        """Paint where a signed distance [mm] is below 0, with a soft edge one cell wide."""
        cover = np.clip(np.float32(0.5) - distance / self.cell, 0, 1)
        if cover.any():
            self._paint(box, CODE[tissue], np.rint(cover * (share * _FULL)).astype(np.uint8))

    def _paint(self, box: tuple[slice, ...], code: int, amount: np.ndarray) -> None:
        """Give a tissue its amount of each cell; of a mixture below, only the main tissue is kept."""
        main, other, share = self.main[box], self.other[box], self.share[box]
        fresh = main != code
        most = (amount > _FULL // 2) & fresh
        some = (amount > 0) & (amount <= _FULL // 2) & fresh
        more = (amount > _FULL - share) & ~fresh
        np.copyto(other, main, where=most)
        np.copyto(other, code, where=some)
        np.copyto(share, _FULL - amount, where=most | more)
        np.copyto(share, amount, where=some)
        np.copyto(main, code, where=most)

    def mean(self, values: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
        """Mean of a tissue property over the shares of each cell, float32."""
        out = values[self.main[box]]
        return out + (values[self.other[box]] - out) * (self.share[box] * np.float32(1 / _FULL))
