"""ROMEO: phase unwrapped along the edges of a spanning tree, best edge first."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np

import ferritin_kernels
from ferritin.errors import InputError, ParameterError
from ferritin.registry import method
from ferritin.stages import Record, UnwrappedPhase

TERMS = {
    "romeo": {},
    "romeo2": {"gradient": False, "linear": False},
    "romeo3": {"linear": False},
    "romeo4": {},
    "romeo6": {},
}


@method("unwrap", host=True, source="Dymerska B, et al. MRM 2021;85:2294")
def romeo(
    echoes: Any,
    mask: Any,
    scan: Any,
    *,
    weights: Literal["romeo", "romeo2", "romeo3", "romeo4", "romeo6"] = "romeo",
    template_echo: Annotated[int, ""] = 1,
    individual: bool = False,
    retry_below: Annotated[float, "1"] = 0.0,
) -> UnwrappedPhase:
    """Unwrap one echo in space by region growing, and the others from it in time. Works on the host.

    Every connected piece of the mask is grown from its best voxel along the edge of the highest weight. A piece's whole
    turns are those that agree best with the template's neighbour echo.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
        Their phase at TE = 0 must be small, as MCPC-3D-S leaves it: the step in time takes the phase to be
        proportional to TE. The record says where it seems not to be.
    mask : (x, y, z) bool
    scan : Scan
    weights : the terms of an edge's weight
        "romeo2": coherence of the phase and of the magnitude; "romeo3": and of the gradients of two echoes; "romeo",
        "romeo4": and linearity of the phase; "romeo6": and two terms for dim and for glaring voxels.
    template_echo : the echo that is unwrapped in space, from 1 on.
    individual : unwrap every echo in space, and take from the neighbour in time no more than a region's whole turns.
    retry_below : after the step in time, voxels of less quality than this are unwrapped again in space from the others;
        0 leaves it out, 0.5 helps in veins.

    Returns
    -------
    UnwrappedPhase
        [rad], congruent to the measured phase; 0 outside the mask.

    Raises
    ------
    InputError
        The mask is empty.
    ParameterError
        There is no such echo.
    """
    if not mask.any():
        raise InputError("the mask is empty, expected at least one voxel; give a mask with --mask")
    if not 1 <= template_echo <= len(echoes):
        raise ParameterError(f"template_echo = {template_echo}, expected 1 to {len(echoes)}")
    template = template_echo - 1
    bright = float(np.percentile(np.abs(echoes[template][mask]), 95)) if weights == "romeo6" else None
    result = ferritin_kernels.romeo(
        echoes,
        scan.te_s,
        mask,
        template=template,
        bright=bright,
        individual=individual,
        retry_below=retry_below,
        **TERMS[weights],
    )
    return UnwrappedPhase(result.phase, Record(notes=_notes(result, mask, scan.te_s, individual)))


def _notes(result: Any, mask: Any, te_s: tuple[float, ...], individual: bool) -> tuple[str, ...]:
    notes = []
    if result.n_regions > 1:
        notes.append(f"the mask has {result.n_regions} pieces; each took the turns that fit the second echo best")
    if len(te_s) > 1 and not individual:
        first, second = (p[mask][:: 1 + np.count_nonzero(mask) // 100_000] for p in result.phase[:2])
        miss = np.abs(second - first * np.float32(te_s[1] / te_s[0])) / (2 * np.pi)
        share = float(np.mean(miss > 0.4))
        if share > 0.1:
            notes.append(
                f"in {share:.0%} of the mask echo 2 is nearly half a turn from where echo 1 leads, as with a phase at "
                "TE = 0; use --set unwrap.individual=true where echoes jump against each other"
            )
    return tuple(notes)
