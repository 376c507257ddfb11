"""The default mask: BET where a whole brain is in view, the signal mask where a stated rule says that none is."""

from __future__ import annotations

import math
from typing import Annotated, Any

from ferritin.backend import namespace
from ferritin.mask._magnitude import background_sd, local_signal
from ferritin.mask.bet import bet
from ferritin.mask.signal import signal
from ferritin.registry import method
from ferritin.stages import Mask, Record

_LEAST_MM = 60.0
_VOLUME_ML = (300.0, 2500.0)
_CUT = 0.5
_BRIGHT = 0.8


@method("mask", source="Smith, Hum Brain Mapp 2002;17:143 (bet), or local threshold (signal), by a recorded rule")
def brain(
    echoes,
    scan,
    noise_sd=None,
    *,
    fraction: Annotated[float, "1"] = 0.5,
    threshold: Annotated[float, "1"] = 0.4,
    progress=None,
) -> Mask:
    """Mask a head's brain, or all tissue of anything else.

    BET's mask is taken when the volume measures 60 mm or more along every axis, the mask holds 300 to 2500 ml, none of
    the volume's faces cuts it in more than half of its largest cross-section, and 80 % of it has signal. Otherwise -
    slabs, crops, single slices, phantoms in several parts, small animals - it is the `signal` mask, and a note says
    which of the four was not met.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    scan : Scan
    noise_sd : float, optional
        Of the real and of the imaginary part; estimated from the darkest voxels when not given.
    fraction : float [1]
        See `bet`.
    threshold : float [1]
        See `signal`.

    Returns
    -------
    Mask

    Raises
    ------
    InputError
        No voxel has signal.
    """
    extent = min(n * v for n, v in zip(scan.shape, scan.voxel_mm))
    if extent < _LEAST_MM:
        why, found = f"the volume measures {extent:.3g} mm along an axis, expected {_LEAST_MM:g} or more", None
    else:
        found = bet(echoes, scan, noise_sd, fraction=fraction, progress=progress)
        why = _objection(found.mask, echoes, scan, noise_sd)
        if why is None:
            return found
    mask = signal(echoes, scan, noise_sd, threshold=threshold).mask
    iterations = found.record.iterations if found else 0
    note = f"no whole brain in view ({why}): the mask is that of all signal; choose with --set mask.method=bet|signal"
    return Mask(mask, Record(iterations, notes=(note,)))


def _objection(mask: Any, echoes: Any, scan: Any, noise_sd: float | None) -> str | None:
    """Why a mask is not a whole brain's; None when it may be."""
    ml = int(mask.sum()) * math.prod(scan.voxel_mm) * 1e-3
    if not _VOLUME_ML[0] <= ml <= _VOLUME_ML[1]:
        return f"the surface encloses {ml:.3g} ml, expected {_VOLUME_ML[0]:g} to {_VOLUME_ML[1]:g}"
    for axis in range(3):
        areas = mask.sum(axis=tuple(a for a in range(3) if a != axis))
        cut = float(max(areas[0], areas[-1])) / float(areas.max())
        if cut > _CUT:
            return f"a face of the volume cuts {cut:.0%} of its cross-section, expected {_CUT:.0%} or less"
    coarse = tuple(slice(None, None, max(1, round(2 / v))) for v in scan.voxel_mm)  # 2 mm are enough for a share
    voxel_mm = tuple(v * c.step for v, c in zip(scan.voxel_mm, coarse))
    magnitude = namespace(echoes).nan_to_num(abs(echoes[0][coarse]))
    bright, _ = local_signal(magnitude, voxel_mm, background_sd(magnitude) if noise_sd is None else float(noise_sd))
    share = int((bright & mask[coarse]).sum()) / int(mask[coarse].sum())
    return None if share >= _BRIGHT else f"{share:.0%} of it has signal, expected {_BRIGHT:.0%} or more"
