"""What both signs of susceptibility add to the decay, and the split of a voxel that follows from it.

    chi = χ⁺ + χ⁻,    rate = D⁺ χ⁺ - D⁻ χ⁻,    χ⁺ >= 0 >= χ⁻

The rate [1/s] is R2', or R2* with a constant that stands for all of it; D [Hz/ppm] grows with B0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import HeaderError, InputError, ParameterError
from ferritin.stages import Record, Sources

R2PRIME_HZ_PER_PPM = 137.0
"""D for R2' at 3 T, found in deep grey matter (Shin HG, et al. NeuroImage 2021;240:118371)."""
R2STAR_HZ_PER_PPM = 274.0
"""D for R2* at 3 T (Dimov AV, et al. Tomography 2022;8:1544)."""


def relaxivities(scan: Any, positive: float | str, negative: float | str, at_3t: float) -> tuple[float, float]:
    """D⁺ and D⁻ [Hz/ppm] at the scan's field; "auto" is `at_3t` in proportion to B0 (static dephasing)."""
    if "auto" in (positive, negative) and scan.b0_t is None:
        raise HeaderError("the field strength is not known, so relaxivity = auto has no value; give it with --b0")
    both = tuple(at_3t * scan.b0_t / 3 if d == "auto" else float(d) for d in (positive, negative))
    if not min(both) > 0:
        raise ParameterError(f"relaxivity = {both[0]}, {both[1]} Hz/ppm; expected both above 0, or auto")
    return both


def split(xp: Any, chi: Any, rate: Any, relaxivity: tuple[float, float]) -> tuple[Any, Any]:
    """χ⁺ and χ⁻ [ppm] of each voxel by the two equations above; what has the wrong sign becomes 0.

    Where |chi| is more than the rate allows, the larger source takes the mean of what chi and the rate say.
    """
    plus, minus = (np.float32(d) for d in relaxivity)
    positive = (rate + minus * chi) / (plus + minus)
    negative = (plus * chi - rate) / (plus + minus)
    return xp.maximum(positive, np.float32(0)), xp.minimum(negative, np.float32(0))


def zero_of(xp: Any, chi: Any, rate: Any, mask: Any, relaxivity: tuple[float, float]) -> float:
    """What to add to chi [ppm] so that it exceeds what the rate allows as much above as below.

    A map of chi has an arbitrary zero, the sources have not: chi must lie between -rate/D⁻ and rate/D⁺. The sum of
    squared excesses is convex in the added constant; of equally good ones the nearest to 0 is taken. All numbers in the
    mask must be finite.
    """
    plus, minus = (np.float32(1 / d) for d in relaxivity)
    x, r = chi[mask], rate[mask]
    high, low = x - plus * r, x + minus * r

    low_c, high_c, c = -float("inf"), float("inf"), 0.0
    for _ in range(15):  # Newton's steps, halving where one would leave the bracket
        above, below = xp.maximum(high + np.float32(c), np.float32(0)), xp.minimum(low + np.float32(c), np.float32(0))
        excess = float(above.sum(dtype=np.float64) + below.sum(dtype=np.float64))
        count = int((above > 0).sum() + (below < 0).sum())
        if abs(excess) <= 1e-6 * count:  # 1e-6 ppm on average: the rounding of float32; also where none exceeds
            break
        low_c, high_c = (low_c, c) if excess > 0 else (c, high_c)
        step = c - excess / count
        c = step if low_c < step < high_c else (low_c + high_c) / 2
    return c


def in_voxels(
    chi: Any, rate: Any, mask: Any, scan: Any, positive: float | str, negative: float | str, at_3t: float, zero: Any
) -> Sources:
    """The closed form in every voxel, and its record; see `closed_form`."""
    xp, relaxivity = namespace(chi), relaxivities(scan, positive, negative, at_3t)
    notes = [f"relaxivity {relaxivity[0]:.4g} and {relaxivity[1]:.4g} Hz/ppm"]
    voxels, mask = int(mask.sum()), mask & xp.isfinite(chi) & xp.isfinite(rate)
    left_out = voxels - int(mask.sum())
    if left_out == voxels:
        raise InputError(
            f"chi and the rate are both finite in none of the mask's {voxels} voxels; give maps that meet the mask"
        )
    if left_out:
        notes.append(f"{left_out} of {voxels} voxels of the mask have no finite chi or rate; the sources are 0 there")
    # Below 0 a rate is noise.
    chi, rate = xp.where(mask, chi, np.float32(0)), xp.where(mask, xp.maximum(rate, np.float32(0)), np.float32(0))
    if zero == "auto":
        zero = zero_of(xp, chi, rate, mask, relaxivity)
        notes.append(f"{zero:+.3g} ppm added to chi, so that |chi| exceeds the rate's limit as much above as below")
    sources = split(xp, chi + np.float32(zero), rate, relaxivity)
    return Sources(*(source * mask for source in sources), Record(notes=tuple(notes)))
