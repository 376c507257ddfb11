"""Total variation: the map with the least gradient that explains the field, by its noise and the anatomy's edges."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ferritin.inversion.problem import Problem
from ferritin.inversion.sparse import sparse_sources
from ferritin.registry import method
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Susceptibility


@method(
    "dipole",
    source="Bilgic B, et al. MRM 2014;72:1444, eq. 3; edges and weights: Liu J, et al. NeuroImage 2012;59:2560, eq. 3",
)
def tv(
    local_field: Any,
    mask: Any,
    scan: Any,
    field_noise: Any = None,
    s0: Any = None,
    r2star: Any = None,
    *,
    lambda_: Annotated[float | Literal["auto"], "ppm"] = "auto",
    outside: Annotated[float | Literal["auto"], "1"] = "auto",
    edges: Annotated[float | None, "median gradients"] = 2.5,
    own_edges: Annotated[float | None, "lambda"] = 4000.0,
    reject: Annotated[float | None, "standard deviations"] = 3.0,
    iterations: int = 100,
    tolerance: Annotated[float, "relative change of chi"] = 5e-3,
    reference: Annotated[str, "mean|none"] = "mean",
    progress: Any = None,
) -> Susceptibility:
    """min over chi of ½‖w(D*chi − field)‖² + Σ λ(r)|∇chi|, isotropic total variation, by ADMM.

    Parameters
    ----------
    local_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool; outside, the field is unknown and not taken for zero.
    field_noise : (x, y, z) float32 [Hz], optional
        The weights w are its reciprocal, scaled to a mean square of 1 over the mask.
    s0, r2star : (x, y, z) float32, optional
        The magnitude's decay; λ is lowered where its logarithm has edges.
    lambda_ : weight of the prior per difference between neighbouring voxels. "auto" takes it from the noise variance,
        as the most probable map under a prior of fixed width, and at least 7e-4 of the field's standard deviation; it
        grows in proportion to the field's scale.
    outside : λ outside the mask relative to inside. What is left of the background field is explained by sources
        there, the cheaper the smaller this is; 1 treats both alike. "auto" is 0.003 when sources more than 8 mm away
        take more of the field than its noise explains, 2 when they do not, between when it may be either; when they do
        not, steps across the border of the mask cost a tenth.
    edges : gradients beyond this multiple of the median count as edges; None ignores them.
    own_edges : gradients of chi itself beyond this multiple of λ count as edges, too, once a first map shows them: with
        little noise many do, with much noise none; None ignores them.
    reject : misfits beyond this multiple of their robust standard deviation lose weight; None keeps all.

    Returns
    -------
    Susceptibility
        chi in ppm, 0 outside the mask.
    """
    problem = Problem(local_field, mask, scan)
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
