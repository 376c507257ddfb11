"""The choice of a gradient correction, from a method's parameters to the kernels' option."""

from __future__ import annotations

from typing import Any

from ferritin.backend import namespace
from ferritin.errors import InputError, ParameterError
from ferritin.relax.record import record_of
from ferritin.stages import Record
from ferritin_kernels import Gradient


def gradient_of(total_field: Any, profile: str, slice_axis: int | None, time_bandwidth: float) -> Gradient | None:
    """The kernels' option; None for "none".

    profile : what the voxel looks like where the field changes across it
        "box": rectangular, the signal falls as |sinc(γ G Δ TE / 2π)|. "pulse": a slice excited by a sinc pulse in a
        Hann window with this time_bandwidth product, small angle. "gaussian": full width at half maximum of one voxel.
    slice_axis : the array axis of the slices of a 2-D acquisition: only the gradient through the slice counts. None:
        all three axes, for "box" alone.

    Source: Fernández-Seara MA, Wehrli FW. MRM 2000;44:358, eq. 4; profile as the pulse's Fourier transform.
    """
    if profile == "none":
        return None
    if total_field is None:
        raise InputError(f"gradient = {profile!r} needs total_field [Hz]; give it, or set gradient to none")
    if slice_axis is None and profile != "box":
        raise ParameterError(f"gradient = {profile!r} needs slice_axis 0, 1 or 2; only a box goes without")
    if slice_axis not in (None, 0, 1, 2):
        raise ParameterError(f"slice_axis = {slice_axis}, expected 0, 1 or 2")
    if not time_bandwidth > 0:
        raise ParameterError(f"time_bandwidth = {time_bandwidth}, expected above 0; pulses have 2 to 10")
    axes = range(3) if slice_axis is None else (slice_axis,)
    return Gradient(total_field, tuple(profile if axis in axes else "none" for axis in range(3)), time_bandwidth)


def corrected(fit: Any, echoes: Any, mask: Any, profile: str, notes: tuple[str, ...]) -> Record:
    """Record of a fit with the option `profile`: also how many voxels the correction left out, or without a decay.

    fit : with maps `iterations`, `converged`, `rate` and `s0`; echoes : (echo, x, y, z); mask : (x, y, z) bool
    """
    if profile == "none":
        return record_of(fit, mask, notes)
    xp = namespace(mask)
    lost = xp.flatnonzero(mask & (fit.iterations == 0))
    finite, signal = xp.ones(lost.size, bool), xp.zeros(lost.size, bool)
    for echo in echoes:
        magnitude = abs(echo.reshape(-1)[lost])
        finite &= xp.isfinite(magnitude)
        signal |= magnitude > 0
    dephased, voxels = int((finite & signal).sum()), int(mask.sum())
    flat = int((mask & (fit.rate == 0) & (fit.s0 > 0)).sum())
    if dephased:
        notes += (
            f"{dephased} of {voxels} voxels of the mask are dephased: the field's gradient leaves fewer echoes a tenth "
            "of their signal than the fit needs, or is NaN; R2* is 0 there",
        )
    if flat:
        notes += (f"in {flat} of {voxels} voxels the gradient explains all of the decay; R2* is 0 there",)
    return record_of(fit, mask, notes, dephased=dephased)
