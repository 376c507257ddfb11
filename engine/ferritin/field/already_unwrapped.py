"""No unwrapping: the phase is taken as it stands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import InputError
from ferritin.registry import method
from ferritin.stages import Record, UnwrappedPhase


@method("unwrap", name="none", source="own: for phases that do not wrap")
def already_unwrapped(echoes, mask, scan) -> UnwrappedPhase:
    """Take the phase of the echoes between -π and π as unwrapped.

    For short echo times, low fields and phases that were filtered. The record tells how many neighbours jump, since
    what jumps by more than π is wrapped. A phase that was unwrapped elsewhere, with values beyond ±π, is not an echo:
    give it to the field fit as it is (`ferritin stage field --in unwrapped_phase=FILE`).

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    mask : (x, y, z) bool

    Returns
    -------
    UnwrappedPhase
        [rad]; 0 outside the mask.

    Raises
    ------
    InputError
        The mask is empty.
    """
    xp = namespace(echoes)
    if not bool(mask.any()):
        raise InputError("the mask is empty, expected at least one voxel; give a mask with --mask")
    out = xp.empty(echoes.shape, np.float32)
    for phase, echo in zip(out, echoes):
        phase[...] = xp.angle(echo)
    xp.nan_to_num(out, copy=False)
    out *= mask
    jumps = sum(_jumps(phase, mask) for phase in out)
    notes = (f"{jumps} pairs of neighbours differ by more than π: the phase wraps and was not unwrapped",)
    return UnwrappedPhase(out, Record(notes=notes if jumps else ()))


def _jumps(phase: Any, mask: Any) -> int:
    """Pairs of neighbours in the mask whose phases differ by more than π."""
    xp = namespace(phase)
    found = 0
    for axis in range(3):
        a, b = ((slice(None),) * axis + (s,) for s in (slice(None, -1), slice(1, None)))
        found += int((mask[a] & mask[b] & (xp.abs(phase[b] - phase[a]) > np.float32(math.pi))).sum())
    return found
