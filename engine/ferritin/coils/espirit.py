"""ESPIRiT: sensitivities from the subspace that small patches of k-space of all coils share."""

from __future__ import annotations

import math
from itertools import product
from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.coils._calibration import Calibration
from ferritin.coils._eigenvector import dominant, expanded
from ferritin.errors import ParameterError
from ferritin.registry import method
from ferritin.stages import Echoes, Record


@method("coils", source="Uecker et al., MRM 2014;71:990, sec. 3; coils compressed first")
def espirit(
    coil_images,
    scan,
    *,
    region: Annotated[int, "samples"] = 24,
    kernel: Annotated[int, "samples"] = 4,
    threshold: Annotated[float, "1"] = 0.02,
    n_virtual: Annotated[int, ""] = 12,
    n_iterations: Annotated[int, ""] = 20,
    progress=None,
) -> Echoes:
    """Combine coils with ESPIRiT maps of the first echo.

    Patches of the centre of k-space, all coils together, span a subspace: sensitivities modulate the object, which
    convolves k-space with short kernels. In every voxel the projection on that subspace is a small matrix over the
    coils, whose eigenvector of eigenvalue one is the sensitivities. The common phase is chosen as in `walsh`. Coils are
    first compressed, and the matrices are made on a coarse grid, so that memory does not grow with the coils.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64 [noise sd]
        Whitened; only indexed as coil_images[c, e].
    scan : Scan
        One echo or more.
    region, kernel : int [samples]
        Edge of the calibration region and of the patches, along each axis.
    threshold : float [1]
        Singular values of the patches below this share of the largest are noise.
    n_virtual : int
        Virtual coils, at most.
    n_iterations : int
        Power iterations for the eigenvector.

    Returns
    -------
    Echoes
        Complex echoes whose noise sd is 1 in every voxel. The record's residual is 1 minus the median eigenvalue where
        there is signal.
    """
    if not 1 <= kernel < region:
        raise ParameterError(f"coils.kernel = {kernel}, coils.region = {region}; expected 1 <= kernel < region")
    centre = _Centre(tuple(coil_images.shape[2:]), region)
    calibration = Calibration(coil_images, scan.voxel_mm, 3.0, progress=progress, each=centre)
    xp = namespace(calibration.images)
    compression = calibration.compression(n_virtual)
    samples = xp.tensordot(compression.conj().T, calibration.kept(centre.samples), 1)
    kernels = tuple(min(kernel, n) for n in samples.shape[1:])
    shared = _by_difference(_projection(samples, kernels, threshold), len(samples), kernels)
    maps, values = dominant(centre.at(shared, calibration.images.shape[1:]), n_iterations)
    seen = xp.sqrt((xp.abs(calibration.images) ** 2).sum(0))
    value = float(xp.median(values[seen > 0.2 * seen.max()]))
    return calibration.combine(expanded(maps, compression), Record(n_iterations, 1 - value, "iterations"))


class _Centre:
    """The centre of every coil's k-space, by thin Fourier matrices: called with one image after the other."""

    def __init__(self, shape: tuple[int, ...], region: int):
        self._shape = shape
        self._k = [np.arange(min(region, n)) - min(region, n) // 2 for n in shape]
        self.samples: list[Any] = []

    def __call__(self, image: Any) -> None:
        for k, n in zip(self._k, self._shape):
            image = _along_first(image, _waves(-k, np.arange(n), n))  # the axes move around, and come back
        self.samples.append(image)

    def at(self, coefficients: Any, grid: tuple[int, ...]) -> Any:
        """Sum of coefficients (coil, coil, dx, dy, dz) · exp(2πi d·r) at the points r of a grid over the volume."""
        for n, m in zip(self._shape, grid):
            half = coefficients.shape[2] // 2
            waves = _waves(np.linspace(0, n - 1, m) - n // 2, np.arange(-half, half + 1) + n // 2, n)
            moved = namespace(coefficients).moveaxis(coefficients, 2, -1)
            coefficients = moved @ namespace(coefficients).asarray(waves.T)
        return coefficients


def _waves(k: np.ndarray, at: np.ndarray, n: int) -> np.ndarray:
    """exp(2πi k (at - n//2) / n), (k, at) complex64."""
    return np.exp(2j * math.pi / n * np.outer(k, at - n // 2)).astype(np.complex64)


def _along_first(image: Any, matrix: np.ndarray) -> Any:
    """Apply a matrix to the first axis and put it last."""
    xp = namespace(image)
    return xp.tensordot(image, xp.asarray(matrix), ((0,), (1,)))


def _projection(samples: Any, kernel: tuple[int, ...], threshold: float) -> Any:
    """Projection on the span of all patches, (coil · patch, coil · patch) complex64; a slab of patches at a time."""
    xp = namespace(samples)
    n_coils, *size = samples.shape
    count = [n - w + 1 for n, w in zip(size, kernel)]
    gram = 0
    for x in range(count[0]):
        slab = [
            samples[:, x + j[0], j[1] : j[1] + count[1], j[2] : j[2] + count[2]].reshape(n_coils, 1, -1)
            for j in product(*map(range, kernel))
        ]
        slab = xp.concatenate(slab, axis=1).reshape(n_coils * len(slab), -1)
        gram = gram + slab @ slab.conj().T
    values, vectors = xp.linalg.eigh(gram)
    vectors = vectors[:, values > np.float32(threshold**2) * values[-1]]
    return vectors @ vectors.conj().T


def _by_difference(projection: Any, n_coils: int, kernel: tuple[int, ...]) -> Any:
    """Entries summed over pairs of samples with the same difference, over the patch's size: (coil, coil, x, y, z)."""
    xp = namespace(projection)
    projection = projection.reshape(n_coils, *kernel, n_coils, *kernel)
    out = xp.zeros((n_coils, n_coils, *(2 * w - 1 for w in kernel)), np.complex64)
    for j in product(*map(range, kernel)):
        # j - j' for j' = 0 ... w - 1 runs backward from j; the difference d is kept at d + w - 1
        block = projection[:, j[0], j[1], j[2]][..., ::-1, ::-1, ::-1]
        out[(slice(None), slice(None), *(slice(i, i + w) for i, w in zip(j, kernel)))] += block
    out /= np.float32(math.prod(kernel))
    return out
