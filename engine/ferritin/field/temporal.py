"""Temporal unwrapping: every voxel by itself, from echo to echo."""

from __future__ import annotations

import math

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import InputError
from ferritin.field._in_time import followed
from ferritin.registry import method
from ferritin.stages import Record, UnwrappedPhase


@method(
    "unwrap", source="phase growth of the closest two echoes, extrapolated: Windischberger et al., JMRI 2004;20:655"
)
def temporal(echoes, mask, scan) -> UnwrappedPhase:
    """Unwrap each voxel in time; neighbours do not matter, so no error spreads.

    The phase that grows between the two echoes that are closest, taken between -π and π, is extrapolated; every echo
    takes the turn nearest to where it leads. Right where the field is within 1/(2 ΔTE) of the transmitter frequency
    and the echo spacings do not multiply the noise of that growth to half a turn. The record tells how much of the mask
    comes near that limit: beside air at 7 T the limit is passed unless ΔTE is below about 2 ms.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
        Two or more.
    mask : (x, y, z) bool
    scan : Scan

    Returns
    -------
    UnwrappedPhase
        [rad], congruent to the measured phase; 0 outside the mask. All echoes of a voxel may share a multiple of 2π,
        as in a phase offset.

    Raises
    ------
    InputError
        One echo, or an empty mask.
    """
    if len(echoes) < 2:
        raise InputError("temporal unwrapping needs two echoes, got one; choose --set unwrap.method=romeo")
    xp = namespace(echoes)
    voxels = int(mask.sum())
    if voxels == 0:
        raise InputError("the mask is empty, expected at least one voxel; give a mask with --mask")
    te = scan.te_s
    second = min(range(1, len(te)), key=lambda e: round(te[e] - te[e - 1], 7))
    spacing = te[second] - te[second - 1]
    growth = xp.angle(echoes[second] * echoes[second - 1].conj())
    near = int((mask & (xp.abs(growth) > np.float32(0.9 * math.pi))).sum()) / voxels
    growth *= np.float32(1 / spacing)
    note = f"{near:.2%} of the mask is within a tenth of the limit of {0.5 / spacing:.4g} Hz, where turns are guesses"
    return UnwrappedPhase(followed(echoes, growth, te, mask), Record(notes=(note,) if near > 0 else ()))
