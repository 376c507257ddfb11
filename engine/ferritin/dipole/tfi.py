"""Total field inversion: susceptibility straight from the total field, sources inside and outside found together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ferritin.inversion.laplacian import without_harmonic
from ferritin.inversion.problem import Problem
from ferritin.inversion.sparse import sparse_sources
from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Susceptibility


@method("dipole", source="Liu Z, et al. MRM 2017;78:303, eq. 3; start: Zhou D, et al. NMR Biomed 2014;27:312")
def tfi(
    total_field: Any,
    field_mask: Any,
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
    iterations: int = 100,
    tolerance: Annotated[float, "relative change of chi"] = 1.5e-3,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """One inversion for background and susceptibility; no background stage is needed.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    field_mask : (x, y, z) bool, where the total field can be trusted.
    field_noise, s0, r2star and the parameters : as in `dipole.tv`; "auto" for lambda_ is 1e-4 ppm without a noise map.

    Returns
    -------
    Susceptibility
        chi in ppm, 0 outside the mask without its outermost voxels.

    Notes
    -----
    The paper preconditions strong outer sources; here a Laplacian boundary value problem takes their harmonic field
    off first, which leaves nothing steep to converge to.
    """
    field, inner = without_harmonic(total_field, field_mask, scan, Stopping(60, 1e-4))
    problem = Problem(field, inner, scan)
    del field, inner  # the problem keeps both
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
    return problem.finish(chi, stop.record(*notes), reference=reference)
