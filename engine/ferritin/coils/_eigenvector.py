"""Sensitivities as the dominant eigenvector of a matrix in every voxel, with a phase that neighbours share."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import namespace

_TINY = np.float32(1e-30)


def dominant(matrices: Any, n_iterations: int) -> tuple[Any, Any]:
    """Power iterations from the first unit vector, in all voxels at once.

    Parameters
    ----------
    matrices : (coil, coil, x, y, z) complex64, Hermitian and positive

    Returns
    -------
    vectors : (coil, x, y, z) complex64 of norm 1 whose first component is real and positive
    values : (x, y, z) float32, the eigenvalues
    """
    xp = namespace(matrices)
    vectors = matrices[:, 0].copy()
    for _ in range(n_iterations):
        vectors /= xp.sqrt((xp.abs(vectors) ** 2).sum(0)) + _TINY
        vectors = xp.einsum("abxyz,bxyz->axyz", matrices, vectors)
    values = xp.sqrt((xp.abs(vectors) ** 2).sum(0))
    vectors /= values + _TINY
    first = vectors[0].conj()
    vectors *= first / (xp.abs(first) + _TINY)
    return vectors, values


def expanded(maps: Any, compression: Any) -> Any:
    """Weights of the coils, one (x, y, z) after the other, from maps of virtual coils (virtual, x, y, z)."""
    xp = namespace(maps)
    return (xp.tensordot(row, maps, 1) for row in compression)
