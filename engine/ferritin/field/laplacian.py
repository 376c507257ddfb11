"""Laplacian phase unwrapping: without paths and without jumps, for contrast and first guesses."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np

from ferritin import backend
from ferritin.backend import namespace
from ferritin.ops.poisson import integrate_wrapped
from ferritin.registry import method
from ferritin.stages import Record, UnwrappedPhase


@method("unwrap", source="Schofield & Zhu, Opt Lett 2003;28:1194, eq. 5")
def laplacian(
    echoes,
    scan,
    *,
    kernel: Annotated[Literal["discrete", "continuous"], ""] = "discrete",
) -> UnwrappedPhase:
    """Unwrap each echo by the Poisson equation ∇²φ = cos φ ∇² sin φ - sin φ ∇² cos φ.

    `discrete` is the 7-point stencil with reflecting walls. There the right side is Σ sin(φ_j - φ_i) over the
    neighbours, and the wrapped difference takes the sine's place: it is exact up to π per voxel, where the sine reads
    large gradients low. `continuous` is the Laplacian of the cosine series; it knows the voxel sizes.

    The result is smooth, but not congruent to the measured phase: a constant per echo and fields that are harmonic over
    the box are altered, and errors spread from open fringes. Use it where contrast counts, not absolute field.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    scan : Scan

    Returns
    -------
    UnwrappedPhase
        [rad], mean zero per echo.
    """
    xp = namespace(echoes)
    out = xp.empty(echoes.shape, np.float32)
    solve = integrate_wrapped if kernel == "discrete" else lambda phase: _continuous(phase, scan.voxel_mm)
    for echo, unwrapped in zip(echoes, out):
        phase = xp.angle(echo)
        unwrapped[...] = solve(xp.nan_to_num(phase, copy=False))
    return UnwrappedPhase(out, Record())


def _continuous(phase: Any, voxel_mm: tuple[float, ...]) -> Any:
    """Spectral Laplacian of the cosine series, forward and inverse: walls reflect."""
    xp = namespace(phase)
    lines = [
        (np.float32(math.pi / (n * v)) * xp.arange(n, dtype=np.float32)) ** 2 for n, v in zip(phase.shape, voxel_mm)
    ]
    k2 = lines[0][:, None, None] + lines[1][:, None] + lines[2]
    sine, cosine = xp.sin(phase), xp.cos(phase)
    minus_laplacian = lambda x: backend.idctn(backend.dctn(x) * k2)  # noqa: E731
    source = cosine * minus_laplacian(sine)
    source -= sine * minus_laplacian(cosine)
    spectrum = backend.dctn(source)
    k2[0, 0, 0] = math.inf
    spectrum /= k2
    return backend.idctn(spectrum)
