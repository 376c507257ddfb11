"""What the voxel fits report beside their maps."""

from __future__ import annotations

from typing import Any

from ferritin.backend import namespace
from ferritin.stages import Record


def record_of(fit: Any, mask: Any, notes: tuple[str, ...] = (), quantity: str = "R2*", dephased: int = 0) -> Record:
    """Record of a kernel's fit with `iterations` and `converged` maps; residual: share of voxels not converged.

    dephased : voxels without a fit for another reason than their signal, which `notes` give.
    """
    xp = namespace(mask)
    voxels, fitted, converged = (int(xp.count_nonzero(a)) for a in (mask, fit.iterations, fit.converged))
    if fitted + dephased < voxels:
        notes += (
            f"{voxels - fitted - dephased} of {voxels} voxels of the mask have no signal or NaN; {quantity} is 0 there",
        )
    if converged < fitted:
        notes += (f"{fitted - converged} of {fitted} voxels did not converge",)
    return Record(
        iterations=int(fit.iterations.max()) if voxels else 0,
        residual=1 - converged / fitted if fitted else 0.0,
        stopped_by="tolerance" if converged == fitted else "iterations",
        notes=notes,
    )
