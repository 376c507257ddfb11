"""HARPERELLA: sources of the Laplacian outside the brain that make the spherical mean of all of it uniform."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.backend import irfftn, namespace, rfftn
from ferritin.errors import InputError
from ferritin.ops.box import Box
from ferritin.ops.gradient import Gradient
from ferritin.ops.smv import ball_spectrum, erode
from ferritin.registry import method
from ferritin.solvers.cg import conjugate_gradients
from ferritin.solvers.stopping import Stopping
from ferritin.stages import LocalField


@method("background", source="Li W, et al. NMR Biomed 2014;27:219, eq. 3-4")
def harperella(
    total_field: Any,
    mask: Any,
    scan: Any,
    *,
    radius_mm: Annotated[float, "mm"] = 10.0,
    iterations: int = 40,
    tolerance: Annotated[float, "relative residual"] = 1e-6,
    progress: Any = None,
) -> LocalField:
    """Choose ∇²f outside the mask so that its spherical mean is uniform everywhere, then invert the Laplacian once.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool

    Notes
    -----
    The paper takes the Laplacian from wrapped phase; this one takes it from the field, which is the same where the
    field is right. Known to leave much background: kept for comparison.
    """
    xp = namespace(total_field)
    box = Box.around(mask, tuple(2 * radius_mm / v for v in scan.voxel_mm))
    inside = box.crop(mask)
    trusted = erode(inside, 1.01 * max(scan.voxel_mm), scan.voxel_mm)
    if not trusted.any():
        raise InputError("the mask is nowhere three voxels thick along every axis; give a larger mask")
    gradient = Gradient(scan.voxel_mm)
    field = box.crop(total_field) * inside
    laplacian = -gradient.adjoint(xp, gradient(xp, field)) * trusted
    ball, outside = ball_spectrum(xp, box.shape, scan.voxel_mm, radius_mm), ~inside

    def mean(x: Any) -> Any:
        spectrum = rfftn(x)
        spectrum *= ball
        return irfftn(spectrum, box.shape)

    blurred = mean(laplacian)
    uniform = (blurred * trusted).sum(dtype=np.float64) / trusted.sum()
    stop = Stopping(iterations, tolerance, progress=progress)
    rhs = mean(uniform.astype(np.float32) - blurred) * outside
    laplacian += conjugate_gradients(xp, lambda x: mean(mean(x)) * outside, rhs, stop)
    spectrum = rfftn(laplacian)
    curvature = -gradient.normal_spectrum(xp, box.shape)
    curvature[0, 0, 0] = 1
    spectrum /= curvature
    spectrum[0, 0, 0] = 0
    local = irfftn(spectrum, box.shape)
    local *= trusted
    return LocalField(box.place(local), box.place(trusted), stop.record())
