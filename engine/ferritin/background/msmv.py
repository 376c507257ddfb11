"""mSMV: spherical means up to the edge of the brain, repeated where more is left than tissue could make."""

from __future__ import annotations

from typing import Annotated, Any

from ferritin.backend import irfftn, rfftn
from ferritin.errors import ParameterError
from ferritin.inversion.high_pass import HighPass
from ferritin.inversion.laplacian import without_harmonic
from ferritin.ops.smv import ball_spectrum
from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.stages import LocalField


@method("background", source="Roberts AG, et al. MRM 2024;91:1586 (maximum corollary); deconvolution as in SHARP (own)")
def msmv(
    total_field: Any,
    mask: Any,
    scan: Any,
    *,
    radius_mm: Annotated[float, "mm"] = 8.0,
    edge_radius_mm: Annotated[float | None, "mm"] = None,
    threshold: Annotated[float, "1"] = 0.05,
    iterations: int = 5,
    progress: Any = None,
) -> LocalField:
    """Take off most by LBV; high-pass by one ball in the whole mask, then by a small ball where the rim shows more.

    A harmonic field has its largest values on the boundary. What the first filter leaves in the rim beyond the largest
    value deep inside is therefore background; its mean over the small ball is taken off until none is left. The mask
    loses its outermost voxels, not the ball's radius.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    edge_radius_mm : of the small ball; 1.5 voxel edges when None.
    threshold : frequencies where 1 - Ŝ is smaller are set to 0 by the deconvolution.
    """
    if not 0 < threshold < 1:
        raise ParameterError(f"msmv threshold = {threshold}, expected between 0 and 1; the default is 0.05")
    local, inner = without_harmonic(total_field, mask, scan, Stopping(60, 1e-4))
    high = HighPass(local, inner, scan, radius_mm)
    xp = high.xp
    small = ball_spectrum(xp, high.box.shape, scan.voxel_mm, edge_radius_mm or 1.5 * max(scan.voxel_mm))
    stop = Stopping(iterations, 0.0, progress=progress)
    # The mean over the part of the ball that lies in the mask, so that the rim is not pulled towards 0.
    share = irfftn(rfftn(high.inside.astype(high.field.dtype)) * (1 - high.spectrum), high.box.shape)
    mean = irfftn(rfftn(high.field) * (1 - high.spectrum), high.box.shape)
    left = (high.field - mean / xp.maximum(share, 0.01)) * high.inside
    limit = abs(left * high.valid).max()
    while True:
        excess = (abs(left) > limit) & high.inside & ~high.valid
        spectrum = rfftn(left * excess)
        spectrum *= small
        left -= irfftn(spectrum, high.box.shape) * high.inside
        if stop.step(excess.sum() / high.inside.sum()):
            break
    local = high.deconvolve(left, threshold)
    local *= high.inside
    return LocalField(high.box.place(local), high.box.place(high.inside), stop.record())
