"""BET: a closed surface grows inside the head until it meets the brain's edge."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import InputError, ParameterError
from ferritin.mask._magnitude import background_sd, local_signal
from ferritin.mask._surface import Mesh, icosphere, winding
from ferritin.registry import method
from ferritin.stages import Mask, Record

_TIGHTEST_MM, _WIDEST_MM = 3.33, 10.0
"""Radii of curvature: what is tighter is smoothed at full strength, what is wider hardly."""
_CHECK = 50
"""Iterations between looks at the mesh as a whole."""
_CROSSED = 1e-3
"""Share of the enclosed voxels around which a surface may wind more or less than once."""


@method("mask", source="Smith, Hum Brain Mapp 2002;17:143")
def bet(
    echoes,
    scan,
    noise_sd=None,
    *,
    fraction: Annotated[float, "1"] = 0.5,
    gradient: Annotated[float, "1"] = 0.0,
    depth_mm: Annotated[float, "mm"] = 7.0,
    subdivisions: Annotated[int, ""] = 4,
    n_iterations: Annotated[int, ""] = 1000,
    tolerance: Annotated[float, "mm"] = 0.02,
    progress=None,
) -> Mask:
    """Extract a whole brain from the first echo's magnitude with a deformable surface.

    A sphere in the head's centre grows: each vertex moves outward as long as the darkest voxel just inside it is
    brighter than a share of the brightest one, inward else, while a smoothness term holds tight curvature and vertices
    keep their distance. The magnitude is first divided by its local mean, so that the receive profile does not count.
    A surface that has come to intersect itself is grown again with more smoothness for the first three quarters.

    The first echo shows most of what later ones lose beside air, and smoothness spans the rest. Meant for heads in air
    with the whole brain in view; for crops and slabs choose `signal`, or `brain`, which chooses by itself.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    scan : Scan
    noise_sd : float, optional
        Of the real and of the imaginary part; estimated from the darkest voxels when not given.
    fraction : float [1]
        Of the local range of intensity where the edge lies; smaller gives a larger brain.
    gradient : float [1]
        Change of fraction from the centre to the top of the head (at the bottom by as much the other way).
    depth_mm : float [mm]
        How far inward the darkest voxel is looked for; the brightest to half of it.
    subdivisions : int
        Of the icosahedron: 4 gives 2562 vertices.
    n_iterations : int
        At most.
    tolerance : float [mm]
        Stop when the mean radius changes by less than this in 50 iterations; single vertices keep trembling.

    Returns
    -------
    Mask

    Raises
    ------
    InputError
        No voxel has signal.
    """
    if not 0 < fraction < 1:
        raise ParameterError(f"mask.fraction = {fraction:g}, expected between 0 and 1; the default is 0.5")
    xp = namespace(echoes)
    image = _flattened(echoes[0], scan.voxel_mm, noise_sd)
    head = _measure(image, scan.voxel_mm)
    mesh = icosphere(subdivisions)
    axis = np.array(scan.b0_dir)  # the scanner's z axis points to the top of the head
    threshold = fraction + gradient * (mesh.vertices * axis[:, None]).sum(0)
    balloon = _Balloon(image, mesh, head, scan.voxel_mm, threshold, depth_mm)
    notes = []
    for stiffness in (1, 10, 100):
        vertices, iterations, grown = balloon.grow(stiffness, n_iterations, tolerance, progress)
        voxels = vertices / xp.asarray(np.array(scan.voxel_mm)[:, None])
        turns = winding(xp, voxels, xp.asarray(mesh.faces), image.shape)
        mask = turns != 0
        crossed = int((mask & (turns != 1)).sum()) / max(int(mask.sum()), 1)
        if crossed <= _CROSSED:
            break
        notes.append(f"the surface intersected itself at smoothness {stiffness} ({crossed:.1%} of the volume)")
    stopped = "tolerance" if grown < tolerance else "iterations"
    return Mask(mask, Record(iterations, grown, stopped, tuple(notes)))


class _Head(NamedTuple):
    """Levels of a flattened magnitude, and where the head is [mm]."""

    low: float
    threshold: float
    median: float
    centre_mm: tuple[float, ...]
    radius_mm: float


def _flattened(echo: Any, voxel_mm: tuple[float, ...], noise_sd: float | None) -> Any:
    """The magnitude over its local mean; noise stays noise."""
    xp = namespace(echo)
    magnitude = xp.abs(echo)
    xp.nan_to_num(magnitude, copy=False, nan=0, posinf=0)
    sd = background_sd(magnitude) if noise_sd is None else float(noise_sd)
    bright, local = local_signal(magnitude, voxel_mm, sd)
    if not bool(bright.any()):
        raise InputError(f"no voxel is above {3 * sd:.3g}, 3 noise sd; give a mask with --mask")
    magnitude /= xp.maximum(local, xp.max(local) * np.float32(1e-6))
    return magnitude


def _measure(image: Any, voxel_mm: tuple[float, ...]) -> _Head:
    """Robust extremes, the centre of gravity and the radius of the head, and the median inside it."""
    xp = namespace(image)
    some = image.ravel()[:: max(1, image.size // 2_000_000)]
    low, high = (float(v) for v in xp.percentile(some, xp.asarray([2.0, 98.0])))
    threshold = low + 0.1 * (high - low)
    weight = xp.minimum(image, np.float32(high)) * (image > threshold)
    lines = [xp.arange(n, dtype=np.float32) * np.float32(v) for n, v in zip(image.shape, voxel_mm)]
    lines = [line.reshape([-1 if a == axis else 1 for a in range(3)]) for axis, line in enumerate(lines)]
    total = float(weight.sum(dtype=np.float64))
    centre = tuple(float((weight * line).sum(dtype=np.float64)) / total for line in lines)
    volume = int((weight > 0).sum()) * math.prod(voxel_mm)
    radius = (volume * 3 / (4 * math.pi)) ** (1 / 3)
    inside = sum((line - np.float32(c)) ** 2 for line, c in zip(lines, centre)) < np.float32(radius**2)
    inside &= (image > np.float32(threshold)) & (image < np.float32(high))
    median = float(xp.median(image[inside])) if bool(inside.any()) else high
    return _Head(low, threshold, median, centre, radius)


class _Balloon:
    """The surface and the forces on it. Vertices are (3, n) float64 [mm] along the array's axes."""

    def __init__(
        self,
        image: Any,
        mesh: Mesh,
        head: _Head,
        voxel_mm: tuple[float, ...],
        fraction: np.ndarray,
        depth_mm: float,
    ):
        self._xp = xp = namespace(image)
        self._image, self._shape, self._head = image.ravel(), image.shape, head
        self._sphere = xp.asarray(mesh.vertices * (0.5 * head.radius_mm) + np.array(head.centre_mm)[:, None])
        self._ring, self._share = xp.asarray(mesh.ring), xp.asarray(mesh.share)
        self._next = xp.asarray(np.array([1, 2, 3, 4, 5, 0]))
        self._fraction = xp.asarray(fraction)
        self._per_mm = [1 / v for v in voxel_mm]
        self._depths = xp.arange(0, depth_mm + 0.5, 1.0)[:, None]
        self._n_shallow = 1 + int(depth_mm / 2)

    def grow(self, stiffness: float, n_iterations: int, tolerance: float, progress: Any) -> tuple[Any, int, float]:
        """Move until the surface stands still: vertices, iterations, and the last growth of the mean radius [mm]."""
        xp, vertices, length, radius, grown = self._xp, self._sphere, 1.0, 0.0, math.inf
        centre = vertices.mean(1, keepdims=True)
        for i in range(n_iterations):
            around = vertices[:, self._ring]
            if i % _CHECK == 0:
                length = float(xp.sqrt(((around - vertices[:, None]) ** 2).sum(0)).mean())
                before, radius = radius, float(xp.sqrt(((vertices - centre) ** 2).sum(0)).mean())
                grown = abs(radius - before)
                if grown < tolerance and (stiffness == 1 or i > 0.75 * n_iterations):
                    return vertices, i, grown
            vertices = vertices + self._step(vertices, around, length, stiffness if i < 0.75 * n_iterations else 1)
            if progress is not None:
                progress(i + 1, n_iterations)
        return vertices, n_iterations, grown

    def _step(self, vertices: Any, around: Any, length: float, stiffness: float) -> Any:
        """Eq. 3 to 13 of the paper: even spacing, smoothness by curvature, and the pull of the image."""
        xp = self._xp
        normal = self._normals(around)
        step = (around * self._share).sum(1)
        step -= vertices
        bend = (step * normal).sum(0)
        step -= bend * normal
        step *= 0.5
        sharpest, bluntest = 1 / _TIGHTEST_MM, 1 / _WIDEST_MM
        curvature = (2 / length**2) * xp.abs(bend)
        smooth = 0.5 + 0.5 * xp.tanh(6 / (sharpest - bluntest) * (curvature - 0.5 * (sharpest + bluntest)))
        bend *= xp.minimum(stiffness * smooth, 1.0)
        bend += (0.05 * length) * self._pull(vertices, normal)
        step += bend * normal
        return step

    def _normals(self, around: Any) -> Any:
        """Outward unit normals from the ring of neighbours, (3, n)."""
        xp = self._xp
        (ax, ay, az), (bx, by, bz) = around, around[:, self._next]
        normal = xp.stack([(ay * bz - az * by).sum(0), (az * bx - ax * bz).sum(0), (ax * by - ay * bx).sum(0)])
        normal /= xp.sqrt((normal**2).sum(0)) + 1e-30
        return normal

    def _pull(self, vertices: Any, normal: Any) -> Any:
        """Between -2 and 2: outward while what lies just inside is bright."""
        xp, head = self._xp, self._head
        flat = 0
        for v, n, per_mm, size in zip(vertices, normal, self._per_mm, self._shape):
            line = xp.rint((v - self._depths * n) * per_mm).astype(np.int64)
            flat = flat * size + xp.clip(line, 0, size - 1)
        values = self._image[flat]
        least = xp.maximum(head.low, xp.minimum(head.median, values.min(0)))
        most = xp.minimum(head.median, xp.maximum(head.threshold, values[: self._n_shallow].max(0)))
        span = xp.maximum(most - head.low, 1e-6)
        return 2 * ((least - head.low) / span - self._fraction)
