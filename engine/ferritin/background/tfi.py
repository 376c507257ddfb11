"""Background by total field inversion: sources inside and outside the mask together, then the outer ones' field off."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

from ferritin.backend import namespace
from ferritin.inversion.laplacian import without_harmonic
from ferritin.inversion.problem import Problem
from ferritin.inversion.sparse import sparse_sources
from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.stages import LocalField


@method(
    "background",
    source="Liu Z, et al. MRM 2017;78:303, eq. 3 (sources everywhere); start: Zhou D, et al. NMR Biomed 2014;27:312",
)
def tfi(
    total_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    s0: Any = None,
    r2star: Any = None,
    *,
    lambda_: Annotated[float | Literal["auto"], "ppm"] = "auto",
    outside: Annotated[float, "1"] = 0.003,
    edges: Annotated[float | None, "median gradients"] = 2.5,
    own_edges: Annotated[float | None, "lambda"] = 4000.0,
    reject: Annotated[float | None, "standard deviations"] = 3.0,
    iterations: int = 60,
    tolerance: Annotated[float, "relative change of chi"] = 2e-3,
    progress: Any = None,
) -> LocalField:
    """Tell inner from outer sources by sparsity: a field's harmonic part alone does not say where it comes from.

    The Laplacian boundary value problem takes off most of the background: an exactly harmonic field, so that nothing of
    the inner sources is lost. What remains is explained by sources in the whole box under total variation, and the
    field of those outside the mask is taken off, too, with that of a uniform susceptibility inside, their mean, which
    no measurement tells from them.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    field_noise, s0, r2star, lambda_, outside, edges, own_edges, reject : as in `dipole.tv`; outside is a number here,
        and "auto" for lambda_ is 1e-4 ppm without a noise map.

    Returns
    -------
    LocalField
        local_field in Hz, with its noise: total field minus background. The mask without its outermost voxels.
    """
    xp = namespace(total_field)
    local, inner = without_harmonic(total_field, mask, scan, Stopping(60, 1e-4))
    problem = Problem(local, inner, scan)
    del local, inner  # the problem keeps both
    stop = Stopping(iterations, tolerance, every=5, progress=progress)
    chi, notes = sparse_sources(
        problem,
        stop,
        field_noise=field_noise,
        s0=s0,
        r2star=r2star,
        lambda_=lambda_,
        outside=outside,
        edges=edges,
        own_edges=own_edges,
        reject=reject,
    )
    mean = (chi * problem.inside).sum(dtype=np.float64) / problem.inside.sum()
    chi -= (chi - mean.astype(np.float32)) * problem.inside
    local = problem.dipole(chi)
    xp.subtract(problem.field, local, out=local)
    local *= np.float32(scan.hz_per_ppm)
    local *= problem.inside
    return LocalField(problem.box.place(local), problem.box.place(problem.inside), stop.record(*notes))
