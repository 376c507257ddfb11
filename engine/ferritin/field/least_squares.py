"""Weighted least-squares unwrapping of the echo difference, made congruent; later echoes follow in time."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import InputError
from ferritin.field._in_time import followed
from ferritin.ops.poisson import integrate_wrapped, wrap
from ferritin.registry import method
from ferritin.stages import Record, UnwrappedPhase


@method("unwrap", source="Ghiglia & Romero, J Opt Soc Am A 1994;11:107")
def least_squares(echoes, mask, scan, *, n_iterations: Annotated[int, ""] = 10) -> UnwrappedPhase:
    """Unwrap without paths, as parallel as a Laplacian, and congruent to the measured phase.

    The phase that grows from echo 1 to echo 2 is integrated by weighted least squares (the weights are |S1 S2|, capped
    at their median) and brought to the nearest congruent value. Every later echo takes the wrap nearest to where that
    growth leads it from the echo before. With one echo its own phase is integrated.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    mask : (x, y, z) bool
    scan : Scan
    n_iterations : int
        At most; of the conjugate gradients.

    Returns
    -------
    UnwrappedPhase
        [rad]; 0 outside the mask. All echoes of a voxel may share a multiple of 2π, as in a phase offset.

    Raises
    ------
    InputError
        The mask is empty.
    """
    xp = namespace(echoes)
    if not bool(mask.any()):
        raise InputError("the mask is empty, expected at least one voxel; give a mask with --mask")
    product = echoes[1] * echoes[0].conj() if len(echoes) > 1 else echoes[0]
    growth = _congruent(xp.nan_to_num(product, copy=False), mask, n_iterations)
    if len(echoes) == 1:
        return UnwrappedPhase(growth[None], Record())
    growth *= np.float32(1 / (scan.te_s[1] - scan.te_s[0]))
    return UnwrappedPhase(followed(echoes, growth, scan.te_s, mask), Record())


def _congruent(product: Any, mask: Any, n_iterations: int) -> Any:
    """The argument of a complex volume, unwrapped; congruent inside the mask, 0 outside."""
    xp = namespace(product)
    weight = xp.abs(product)
    cap = xp.median(weight[mask])
    weight = xp.minimum(weight, cap)
    weight /= xp.maximum(cap, np.float32(1e-30))
    weight *= mask
    phase = xp.angle(product)
    smooth = integrate_wrapped(phase, weight, n_iterations=n_iterations)
    # The constant that most voxels agree on, as a phasor: no wrap can bias it.
    smooth += xp.angle((xp.exp(1j * (phase - smooth)) * mask).sum())
    smooth += wrap(phase - smooth)
    smooth *= mask
    return smooth
