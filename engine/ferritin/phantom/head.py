"""The digital head: drawn at any resolution from shapes and random fields, then asked for its maps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np

from ferritin.backend import cpu_count
from ferritin.errors import ParameterError
from ferritin.phantom import deep, skull
from ferritin.phantom.brain import BRAINSTEM, CEREBELLUM, CEREBRUM, Cortex, inside_skull
from ferritin.phantom.canvas import Canvas, Layer
from ferritin.phantom.grid import Grid
from ferritin.phantom.shape import ellipsoid
from ferritin.phantom.tissue import TISSUES, column, rates
from ferritin.phantom.vessels import Veins
from ferritin.phantom.waves import Waves

_IN_BRAIN = np.isin([t.label for t in TISSUES], (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17))
_CALCIFICATION = ellipsoid((27, 22, 24), (3.2, 3.2, 3.2))
_HAEMORRHAGE = ellipsoid((-28, -42, 30), (5.5, 4.5, 5))
_BEND_MM = 1.6  # sd of how far a point is moved from the drawing
_RIM_MM = 1.2  # between skull and brain mask, about what a brain extraction leaves out


def grid(voxel_mm: float | tuple[float, float, float] = 1.0, tilt_deg: float = 0.0, margin_mm: float = 5.0) -> Grid:
    """The image grid that holds the whole head, turned about the patient's x axis; sizes even.

    Raises ParameterError for voxels that are not between 0.1 and 20 mm.
    """
    voxel = tuple(np.broadcast_to(np.asarray(voxel_mm, float), 3).tolist())
    if not all(0.1 <= v <= 20 for v in voxel):
        raise ParameterError(f"voxel of {voxel} mm; expected edges between 0.1 and 20 mm")
    t = np.deg2rad(tilt_deg)
    rotation = np.array([[1, 0, 0], [0, np.cos(t), -np.sin(t)], [0, np.sin(t), np.cos(t)]])
    low, high = np.array(skull.LOW), np.array(skull.HIGH)
    extent = np.abs(rotation.T) @ (high - low) + 2 * margin_mm
    shape = tuple(2 * int(np.ceil(e / v / 2)) for e, v in zip(extent, voxel))
    return Grid(shape, voxel, rotation, tuple((low + high) / 2))


class Head:
    """A head on a grid.

    Parameters
    ----------
    on : Grid
        Cells of the head; finer than the images that are made of it.
    seed : int
        Chooses the individual: folds, proportions, veins, texture. The same seed is the same head on every grid.
    calcification, haemorrhage : bool
        Add a lesion of -1.5 ppm (3 mm radius) or of +0.9 ppm (5 mm) in the white matter.
    spread : float [1]
        Relative spread of the tissues' values between individuals; 0 takes the table's.

    Raises ParameterError for a seed below 0.
    """

    def __init__(
        self, on: Grid, seed: int = 1, *, calcification: bool = True, haemorrhage: bool = False, spread: float = 0.0
    ) -> None:
        if seed < 0:
            raise ParameterError(f"seed = {seed}; expected 0 or a positive number")
        bend, cortex, veins, texture, values = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(5))
        self.grid = on
        self._bend = [Waves(bend, (70, 160), 10) for _ in range(3)]
        self._cortex = Cortex(cortex)
        self._texture = [Waves(texture, (5, 14), 64) for _ in range(2)]
        self._factor = 1 + spread * values.uniform(-1, 1, (3, len(TISSUES))).astype(np.float32)
        self._factor[:, ~_IN_BRAIN] = 1
        lesions = [("calcification", _CALCIFICATION)] * calcification + [("haemorrhage", _HAEMORRHAGE)] * haemorrhage
        self._canvas = Canvas(on)
        self._face = [Layer.of(on, *body) for body in skull.bodies()]
        self._deep = [Layer.of(on, "white_matter", BRAINSTEM)]
        self._deep += [Layer.of(on, *body) for body in deep.bodies()]
        self._deep += [Layer.of(on, "vein", rod, width) for rod, width in Veins(veins).rods()]
        self._deep += [Layer.of(on, *lesion) for lesion in lesions]
        self._brain_cells = np.zeros(on.shape, bool)
        _each_slab(on, self._draw)

    # ---- maps -------------------------------------------------------------------------------------------------

    @cached_property
    def labels(self) -> np.ndarray:
        """(x, y, z) uint8: numbers of `metrics.LABELS`; 0 is the air around the head."""
        return column("label").astype(np.uint8)[self._canvas.main]

    @property
    def brain(self) -> np.ndarray:
        """(x, y, z) bool: the brain and the fluid around it, but for a rim below the skull; down to the foramen."""
        return self._brain_cells

    def chi_plus(self) -> np.ndarray:
        """Paramagnetic part of the susceptibility [ppm]."""
        return self._map(lambda box: self._source(box, 0, self._noise(box)))

    def chi_minus(self) -> np.ndarray:
        """Diamagnetic part of the susceptibility [ppm], negative."""
        return self._map(lambda box: self._source(box, 1, self._noise(box)))

    def chi(self) -> np.ndarray:
        """Susceptibility [ppm] relative to water-like tissue; air is +9.2."""

        def both(box):
            noise = self._noise(box)
            return self._source(box, 0, noise) + self._source(box, 1, noise)

        return self._map(both)

    def rate(self, name: str, b0_t: float) -> np.ndarray:
        """R2*, R2 or R1 [1/s] ("r2star", "r2", "r1") at a field strength; mixed cells by their share of the signal."""
        table, m0 = rates(b0_t)[name] * self._factor[2], column("m0")
        which, vary = (1, np.float32(0.03)) if name == "r1" else (0, np.float32(0.05))

        def mean(box):
            weight = np.maximum(self._canvas.mean(m0, box), np.float32(1e-6))
            return self._canvas.mean(table * m0, box) / weight * (1 + vary * self._noise(box, which))

        return self._map(mean)

    def m0(self) -> np.ndarray:
        """Proton density, CSF = 1."""
        table = column("m0")
        return self._map(lambda box: self._canvas.mean(table, box) * (1 - np.float32(0.02) * self._noise(box, 1)))

    # ---- drawing ----------------------------------------------------------------------------------------------

    def _draw(self, slab: slice) -> None:
        """Draw some planes, from the skin inwards; each layer covers what was there."""
        xyz = tuple(
            a + np.float32(_BEND_MM) * w.on_grid(self.grid, slab)
            for a, w in zip(self.grid.coordinates(slab), self._bend)
        )
        canvas, box = self._canvas, (slab, slice(None), slice(None))
        cavity = inside_skull(*xyz)
        skin, table = skull.skin(cavity, *xyz), skull.outer_table(cavity, xyz[2])
        for tissue, distance in (
            ("muscle_skin", skin), ("fat", skin + 2), ("muscle_skin", skin + 5),
            ("bone", table), ("marrow", table + np.float32(1.8)), ("bone", cavity - np.float32(1.8)),
        ):  # fmt: skip
            canvas.cover(tissue, box, distance)
        for layer in self._face:
            canvas.draw(layer, slab, xyz)
        canvas.cover("csf", box, cavity)
        self._fold(slab, xyz)
        for layer in self._deep:
            canvas.draw(layer, slab, xyz)
        pure = _IN_BRAIN[canvas.main[box]] & (_IN_BRAIN[canvas.other[box]] | (canvas.share[box] == 0))
        self._brain_cells[box] = pure & (cavity < -np.float32(_RIM_MM)) & (xyz[2] > -70)

    def _fold(self, slab: slice, xyz: tuple[np.ndarray, ...]) -> None:
        """Grey matter where the folded surface is passed, white matter below its thickness."""
        for shape, depth_of, thickness in (
            (CEREBRUM, self._cortex.cerebrum, self._cortex.thickness_mm),
            (CEREBELLUM, self._cortex.cerebellum, 1.6),
        ):
            boxes = Layer.of(self.grid, "grey_matter", shape).boxes(slab)
            if boxes is None:
                continue
            points = [a[boxes[1]] for a in xyz]
            inside = shape.distance(*points) < 1
            pial = np.full(inside.shape, np.float32(-10))
            pial[inside] = depth_of(*(a[inside] for a in points))
            self._canvas.cover("grey_matter", boxes[0], -pial)
            self._canvas.cover("white_matter", boxes[0], np.float32(thickness) - pial)

    # ---- values -----------------------------------------------------------------------------------------------

    def _noise(self, box: tuple[slice, ...], which: int | None = None) -> np.ndarray:
        """Texture of unit sd, cut at 3, in the tissues that have it: one field, or both as (2, x, y, z)."""
        has = column("texture")[self._canvas.main[box]]
        fields = self._texture if which is None else [self._texture[which]]
        out = np.stack([np.clip(w.on_grid(self.grid, *box), -3, 3) * has for w in fields])
        return out if which is None else out[0]

    def _source(self, box: tuple[slice, ...], row: int, noise: np.ndarray) -> np.ndarray:
        """χ⁺ or χ⁻: value plus its slopes on R2* and R1 at 7 T, where the slopes were measured."""
        slopes, at7 = column("slopes"), rates(7.0)
        out = self._canvas.mean(column("chi_minus" if row else "chi_plus") * self._factor[row], box)
        out += self._canvas.mean(slopes[:, 2 * row + 1] * at7["r2star"] * np.float32(0.05), box) * noise[0]
        out += self._canvas.mean(slopes[:, 2 * row] * at7["r1"] * np.float32(0.03), box) * noise[1]
        return out

    def _map(self, values: Callable[[tuple[slice, ...]], np.ndarray]) -> np.ndarray:
        out = np.empty(self.grid.shape, np.float32)

        def fill(slab: slice) -> None:
            out[slab] = values((slab,))

        _each_slab(self.grid, fill)
        return out


def _each_slab(on: Grid, work: Callable[[slice], None]) -> None:
    with ThreadPoolExecutor(cpu_count()) as pool:
        for _ in pool.map(work, on.slabs()):
            pass


def head(
    cell_mm: float = 1.0,
    seed: int = 1,
    *,
    tilt_deg: float = 0.0,
    calcification: bool = True,
    haemorrhage: bool = False,
    spread: float = 0.0,
) -> Head:
    """A digital head with cells of so many mm; see Head."""
    on = grid(cell_mm, tilt_deg)
    return Head(on, seed, calcification=calcification, haemorrhage=haemorrhage, spread=spread)
