"""LBV: the local field is taken as 0 on the boundary of the mask, and its Laplacian as that of the total field."""

from __future__ import annotations

from typing import Annotated, Any

from ferritin.inversion.laplacian import without_harmonic
from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.stages import LocalField


@method("background", source="Zhou D, et al. NMR Biomed 2014;27:312, eq. 5-6")
def lbv(
    total_field: Any,
    mask: Any,
    scan: Any,
    *,
    tolerance: Annotated[float, "relative residual"] = 1e-4,
    iterations: int = 60,
    progress: Any = None,
) -> LocalField:
    """Solve ∇²f_local = ∇²f_total in the mask with f_local = 0 on its outermost voxels.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool

    Returns
    -------
    LocalField
        local_field in Hz; the mask without its outermost layer, whose voxels are the boundary.

    Notes
    -----
    Seven-point Laplacian; conjugate gradients preconditioned by one multigrid cycle. The difference of the two fields
    is harmonic on the grid, whatever the noise.
    """
    stop = Stopping(iterations, tolerance, progress=progress)
    local, inner = without_harmonic(total_field, mask, scan, stop)
    return LocalField(local, inner, stop.record())
