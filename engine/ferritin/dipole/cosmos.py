"""COSMOS: susceptibility from the fields of several head orientations, without a prior."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.errors import InputError
from ferritin.inversion.orientations import Views, least_power
from ferritin.ops.dipole import dipole_kernel
from ferritin.registry import method
from ferritin.solvers.cg import conjugate_gradients
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Record, Susceptibility


@method("orientations", source="Liu T, et al. MRM 2009;61:196")
def cosmos(
    local_fields: Any,
    b0_dirs: Any,
    mask: Any,
    scan: Any,
    field_noises: Any = None,
    *,
    solver: Literal["least_squares", "closed_form"] = "least_squares",
    least: Annotated[float, "1"] = 0.01,
    iterations: int = 30,
    tolerance: Annotated[float, "relative residual"] = 1e-3,
    reference: Literal["mean", "none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """min over chi inside the mask of Σ_i ‖w_i(D_i*chi − f_i)‖².

    Parameters
    ----------
    local_fields : (orientation, x, y, z) float32 [Hz]
        Two or more orientations on one grid; `ferritin.align` makes them.
    b0_dirs : (orientation, axis) float64 [1]
        B0 along the grid's axes in each.
    mask : (x, y, z) bool; outside, the fields are unknown.
    field_noises : (orientation, x, y, z) float32 [Hz], optional; w is the reciprocal, 0 where the noise is 0.
    solver : "closed_form" divides in k-space and takes the field outside the mask for 0: two transforms, no weights.
    least : of Σ_i D_i² over k-space; orientations that leave a part of it with less are refused.

    Returns
    -------
    Susceptibility
        chi [ppm], 0 outside the mask. A note tells the condition.

    Raises
    ------
    InputError
        The orientations are too much alike.
    """
    views = Views(local_fields, b0_dirs, mask, scan, field_noises)
    low, high = least_power(views.directions)
    if low < least:
        raise InputError(
            f"the {len(views.fields)} orientations see a part of k-space with a power of {low:.2g} only, expected "
            f"{least:g} or more; turn the head further, or lower `least`"
        )
    notes = [f"condition: least power {low:.3g}, condition number {(high / low) ** 0.5:.3g}"]
    if solver == "closed_form":
        chi, record = _divided(views, low), Record()
    else:
        stop = Stopping(iterations, tolerance, progress=progress)
        chi = _fitted(views, low, stop)
        record = stop.record()
    chi *= views.inside
    if reference == "mean":
        chi -= (chi.sum(dtype=np.float64) / views.inside.sum()).astype(np.float32) * views.inside
        notes.append("chi is relative to its mean over the mask")
    return Susceptibility(views.box.place(chi), record=replace(record, notes=tuple(notes)))


def _kernels(views: Views) -> list[Any]:
    return [dipole_kernel(views.xp, views.box.shape, views.scan.voxel_mm, tuple(b)) for b in views.directions]


def _divided(views: Views, low: float) -> Any:
    """Σ D_i f_i / Σ D_i² in k-space; 0 at k = 0, and at the corners, where no direction can be told."""
    xp, upper, lower = views.xp, 0, 0
    for kernel, field in zip(_kernels(views), views.fields):
        upper, lower = upper + kernel * rfftn(field), lower + kernel * kernel
    seen = lower > np.float32(0.5 * low)
    return irfftn(upper * seen / xp.where(seen, lower, np.float32(1)), views.box.shape)


def _fitted(views: Views, low: float, stop: Stopping) -> Any:
    """Conjugate gradients on the normal equations, the division in k-space as preconditioner."""
    shape, kernels = views.box.shape, _kernels(views)
    inverse = sum(kernel * kernel for kernel in kernels)
    inverse = 1 / views.xp.maximum(inverse, np.float32(0.5 * low))

    def back(weighted: Any) -> Any:
        total = 0
        for kernel, field in zip(kernels, weighted):
            total = total + kernel * rfftn(field)
        out = irfftn(total, shape)
        out *= views.inside
        return out

    def normal(chi: Any) -> Any:
        spectrum = rfftn(chi)
        return back(w * irfftn(spectrum * kernel, shape) for kernel, w in zip(kernels, views.weights))

    def precondition(r: Any) -> Any:
        spectrum = rfftn(r)
        spectrum *= inverse
        out = irfftn(spectrum, shape)
        out *= views.inside
        return out

    rhs = back(w * f for w, f in zip(views.weights, views.fields))
    return conjugate_gradients(views.xp, normal, rhs, stop, precondition=precondition)
