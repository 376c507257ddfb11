"""MCPC-3D-S: coil phases from the first two echoes, then one noise-optimal combination for all echoes."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.coils._combination import Combination
from ferritin.coils._screening import Screening
from ferritin.errors import InputError
from ferritin.ops.poisson import integrate_wrapped
from ferritin.ops.smooth import CoarseGaussian
from ferritin.registry import method
from ferritin.stages import Echoes

_TINY = np.float32(1e-30)


@method("coils", source="Eckstein et al., MRM 2018;79:2996 (MCPC-3D-S); Roemer et al., MRM 1990;16:192, eq. 32")
def mcpc3ds(coil_images, scan, *, smoothing_mm: Annotated[float, "mm"] = 8.0, progress=None) -> Echoes:
    """Combine coils with weights whose phase is each coil's offset at TE = 0.

    The Hermitian inner product of echoes 1 and 2 over the coils has the phase 2π f (TE2 - TE1). Unwrapped and scaled to
    TE1 it predicts the object's phase; what a coil's first echo has beyond that is the coil's own, smooth, offset.
    Weights are the first echo, demodulated by that prediction and smoothed, so they are proportional to the
    sensitivity times a factor that all coils share, and the combination is Roemer's.

    Any error of the prediction is common to all coils and echoes. It stays as a common phase offset, which the field
    fit determines, and costs no signal. The unwrapped difference therefore comes from a Poisson equation, which has no
    jumps, instead of a path method, whose wrong wraps would be jumps of 2π TE1/(TE2 - TE1) in the offset.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64 [noise sd]
        Whitened; only indexed as coil_images[c, e]. Each is read once or twice, echo by echo.
    scan : Scan
        Two echo times or more.
    smoothing_mm : float [mm]
        Standard deviation of the Gaussian that smooths the offsets.

    Returns
    -------
    Echoes
        Complex echoes (echo, x, y, z) whose noise sd is 1 in every voxel.

    Raises
    ------
    InputError
        Fewer than two echoes: choose `inati`.
    """
    n_coils, n_echoes = coil_images.shape[:2]
    if n_echoes < 2:
        raise InputError("mcpc3ds needs two echoes, got one; choose --set coils.method=inati")
    hip, power, screening = 0, 0, Screening(scan.voxel_mm)
    for coil in range(n_coils):
        first, second = coil_images[coil, 0], coil_images[coil, 1]
        screening.add(first, second)
        product, square = _product(first, second)
        hip += product
        power += square
        _tell(progress, coil, 3 * n_coils)
    coils, notes = screening.verdict()
    for coil in {*range(n_coils)} - {*coils}:
        product, square = _product(coil_images[coil, 0], coil_images[coil, 1])
        hip -= product
        power -= square
    reference = _predicted_first_echo(hip, power, scan)
    del hip, product, power, square, second
    smooth = CoarseGaussian(namespace(reference), reference.shape, scan.voxel_mm, smoothing_mm)
    combination = Combination(coil_images, reference)
    for coil in coils:
        first = coil_images[coil, 0]
        weight = smooth(first * reference.conj())
        combination.add(weight, lambda echo: first if echo == 0 else coil_images[coil, echo])  # noqa: B023
        _tell(progress, n_coils + 2 * coil, 3 * n_coils)
    if progress is not None:
        progress(3 * n_coils, 3 * n_coils)
    return combination.finished(notes)


def _product(first: Any, second: Any) -> tuple[Any, Any]:
    """conj(first) · second and |first|²."""
    product = first.conj()
    square = product.real**2 + product.imag**2
    product *= second
    return product, square


def _predicted_first_echo(hip: Any, power: Any, scan: Any) -> Any:
    """About |S1| times the phase that the field makes until TE1, from the Hermitian inner product of echoes 1 and 2.

    Where the second echo is dephased (|hip| is small beside power = Σ |S1|²), beside air, the phase is not the field's.
    There the magnitude is lowered, so that smoothing continues the offsets from around.
    """
    xp = namespace(hip)
    te = scan.te_s
    left = xp.abs(hip)
    magnitude = xp.sqrt(left)
    # Capped, so that bright scalp does not outweigh the brain; the darkest half is air on most scans.
    weight = magnitude / (np.float32(4) * xp.median(magnitude) + _TINY)
    weight = xp.minimum(weight, np.float32(1)) ** 2
    phase = integrate_wrapped(xp.angle(hip), weight)
    phase *= np.float32(te[0] / (te[1] - te[0]))
    reference = xp.exp(1j * phase)
    left /= xp.maximum(power, _TINY)
    reference *= magnitude * left**2
    return reference


def _tell(progress: Any, done: int, total: int) -> None:
    if progress is not None:
        progress(done + 1, total)
