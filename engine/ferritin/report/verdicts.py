"""Quality verdicts: is each map what a head of this field strength can be, and does the phase have the right sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from ferritin.scan import Scan
from ferritin.stages import STAGES

LEVELS = ("ok", "warn", "fail")
_SAMPLE = 2_000_000
_ERRORS = ("r2star_se", "r2_se", "r2prime_se", "field_noise")


@dataclass(frozen=True)
class Verdict:
    """One check: level is ok, warn (look at it) or fail (the command line exits with 3)."""

    name: str
    stage: str
    level: str
    message: str
    value: float | None = None
    expected: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Every so-manieth voxel of the maps: enough for statistics, cheap at any size."""

    scan: Scan
    maps: Mapping[str, np.ndarray]
    full: Mapping[str, np.ndarray]
    voxel_mm: tuple[float, ...]

    def inside(self, name: str) -> np.ndarray | None:
        """Finite values of a map in its own mask; None where either is missing or empty."""
        mask = self.mask(name)
        if name not in self.maps or mask is None:
            return None
        values = self.maps[name][mask]
        values = values[np.isfinite(values)]
        return values if values.size else None

    def mask(self, name: str) -> np.ndarray | None:
        """local_mask for what background removal has made or what follows it, mask for the others."""
        local = self.maps.get("local_mask") if name in ("local_field", "chi") else None
        return local if local is not None else self.maps.get("mask")


def judge(maps: Any) -> tuple[Verdict, ...]:
    """Check the maps of a run.

    Parameters
    ----------
    maps : has scan and artifacts (name to host array, units of stages.py)

    Returns
    -------
    tuple of Verdict
        Only the checks whose maps are there; the order is that of the stages.
    """
    arrays = {n: a for n, a in maps.artifacts.items() if getattr(a, "ndim", 0) == 3}
    if not arrays:
        return ()
    step = max(1, math.ceil((next(iter(arrays.values())).size / _SAMPLE) ** (1 / 3)))
    some = {n: a[::step, ::step, ::step] for n, a in arrays.items()}
    sample = _Sample(maps.scan, some, arrays, tuple(step * v for v in maps.scan.voxel_mm))
    found = [check(sample) for check in _CHECKS]
    return tuple(v for v in found if v is not None)


def worst(verdicts: Any) -> str | None:
    """The worst level among verdicts; None when there are none."""
    levels = {v.level for v in verdicts}
    return next((level for level in reversed(LEVELS) if level in levels), None)


def mask_volume(s: _Sample) -> Verdict | None:
    """A brain with its fluid has 0.7 to 2.2 litres; other objects and crops are legitimate, nothing at all is not."""
    if "mask" not in s.maps:
        return None
    ml = float(s.maps["mask"].sum()) * math.prod(s.voxel_mm) * 1e-3
    level = "fail" if ml < 0.5 else "ok" if 700 <= ml <= 2200 else "warn"
    word = {"fail": "next to nothing", "ok": "a brain's", "warn": "not a whole brain's"}
    return Verdict("mask volume", "mask", level, f"The mask holds {ml:.4g} ml, {word[level]}.", ml, "700–2200 ml")


def mask_unity(s: _Sample) -> Verdict | None:
    """Islands beside the main piece are rarely tissue."""
    if "mask" not in s.maps or not s.maps["mask"].any():
        return None
    labels, n = ndimage.label(s.maps["mask"])
    share = float(np.bincount(labels.ravel())[1:].max() / s.maps["mask"].sum())
    level = "ok" if share >= 0.97 else "warn"
    message = f"{100 * share:.1f} % of the mask is one piece" + (f", the rest {n - 1} islands." if n > 1 else ".")
    return Verdict("mask in one piece", "mask", level, message, share, "≥ 97 %")


def finite(s: _Sample) -> Verdict:
    """NaN and infinity have no place in a map; a standard error may be unknown (as many echoes as unknowns)."""
    maps = {n: a for n, a in s.full.items() if a.dtype.kind == "f" and n not in _ERRORS}
    count = {n: int(a.size - np.isfinite(a).sum()) for n, a in maps.items()}
    bad = {n: c for n, c in count.items() if c}
    if not bad:
        return Verdict("finite values", "", "ok", "No map holds NaN or infinity.", 0, "0 voxels")
    names = ", ".join(f"{n} ({c})" for n, c in bad.items())
    stage = next((stage.name for stage in STAGES.values() if next(iter(bad)) in stage.produces), "")
    return Verdict("finite values", stage, "fail", f"NaN or infinity in {names}.", sum(bad.values()), "0 voxels")


def r2star_range(s: _Sample) -> Verdict | None:
    """Brain tissue has about 20 1/s at 3 T and 35 at 7 T; accept a third to three times of 5.5 1/s per tesla."""
    values = s.inside("r2star")
    if values is None or s.scan.b0_t is None:
        return None
    low, high = 1.8 * s.scan.b0_t, 16 * s.scan.b0_t
    median = float(np.median(values))
    level = "ok" if low <= median <= high else "warn"
    message = f"The median R2* in the mask is {median:.3g} 1/s at {s.scan.b0_t:.3g} T."
    return Verdict("R2* range", "r2star", level, message, median, f"{low:.0f}–{high:.0f} 1/s")


def r2star_error(s: _Sample) -> Verdict | None:
    """How well the echoes determine R2*."""
    values, errors = s.inside("r2star"), s.inside("r2star_se")
    if values is None or errors is None:
        return None
    ratio = float(np.median(errors) / max(float(np.median(values)), 1e-6))
    level = "ok" if ratio < 0.15 else "warn"
    message = f"The standard error of R2* is {100 * ratio:.2g} % of R2* (medians)."
    return Verdict("R2* precision", "r2star", level, message, ratio, "< 15 %")


def field_noise(s: _Sample) -> Verdict | None:
    """A field known to 0.01 ppm shows tissue, one known to 0.1 ppm shows none."""
    values = s.inside("field_noise")
    if values is None or not s.scan.f0_hz:
        return None
    hz, ppm = float(np.median(values)), float(np.median(values)) / s.scan.hz_per_ppm
    level = "ok" if ppm < 0.01 else "warn" if ppm < 0.1 else "fail"
    message = f"The total field is known to {hz:.2g} Hz ({1e3 * ppm:.2g} ppb, median standard deviation)."
    limit = 0.01 * s.scan.hz_per_ppm
    return Verdict("field noise", "field", level, message, hz, f"< {limit:.2g} Hz")


def field_jumps(s: _Sample) -> Verdict | None:
    """Steps between neighbours beyond half of what one turn between echoes is worth: wraps that stayed."""
    field, mask = s.full.get("total_field"), s.full.get("field_mask", s.full.get("mask"))
    te = s.scan.te_s
    if field is None or mask is None or not mask.any() or not te:
        return None
    hz = 0.5 / float(min(np.diff(te)) if len(te) > 1 else te[0])
    share = _share_of_steps(field, mask, hz)
    level = "ok" if share <= 0.003 else "warn" if share <= 0.03 else "fail"
    message = f"{100 * share:.2g} % of neighbouring voxels differ by more than {hz:.3g} Hz, half a phase turn."
    return Verdict("wraps in the field", "field", level, message, share, "≤ 0.3 %")


def field_mask_share(s: _Sample) -> Verdict | None:
    """Air and bone spoil the field at the rim; much more than the rim is a field that went wrong."""
    before, after = s.maps.get("mask"), s.maps.get("field_mask")
    if before is None or after is None or not before.any():
        return None
    share = float((after & before).sum() / before.sum())
    level = "ok" if share >= 0.85 else "warn" if share > 0.1 else "fail"
    message = f"The field can be trusted in {100 * share:.0f} % of the mask."
    return Verdict("field trusted", "refine", level, message, share, "≥ 85 %")


def local_field_size(s: _Sample) -> Verdict | None:
    """Tissue makes hundredths of a ppm; much more is background that stayed."""
    values = s.inside("local_field")
    if values is None or not s.scan.f0_hz:
        return None
    ppm = float(np.median(np.abs(values))) / s.scan.hz_per_ppm
    level = "ok" if ppm < 0.05 else "warn" if ppm < 0.2 else "fail"
    message = f"The local field's median size is {1e3 * ppm:.2g} ppb."
    return Verdict("local field size", "background", level, message, ppm, "< 50 ppb")


def local_mask_share(s: _Sample) -> Verdict | None:
    """Background removal erodes the mask; what it takes has no susceptibility."""
    before, after = s.maps.get("mask"), s.maps.get("local_mask")
    if before is None or after is None or not before.any():
        return None
    share = float((after & before).sum() / before.sum())
    level = "ok" if share >= 0.6 else "warn" if share > 0 else "fail"
    message = f"{100 * share:.0f} % of the mask is left after background removal."
    return Verdict("mask left", "background", level, message, share, "≥ 60 %")


def chi_sign(s: _Sample) -> Verdict | None:
    """Where R2* is highest, veins and the pallidum dominate: iron and deoxyhaemoglobin are paramagnetic, chi > 0."""
    if "chi" not in s.maps or "r2star" not in s.maps or s.mask("chi") is None:
        return None
    depth = ndimage.distance_transform_edt(np.pad(s.mask("chi"), 1), sampling=s.voxel_mm)[1:-1, 1:-1, 1:-1]
    known = np.isfinite(s.maps["chi"]) & np.isfinite(s.maps["r2star"])
    # Beside air and bone dephasing makes the highest R2*, and chi is poor there: look deep inside, if there is one.
    deep = next((d for d in (known & (depth > mm) for mm in (10, 4)) if d.sum() >= 2000), None)
    if deep is None:
        return None
    chi, r2star = s.maps["chi"][deep], s.maps["r2star"][deep]
    excess = float(np.median(chi[r2star >= np.percentile(r2star, 98)]) - np.median(chi))
    level = "ok" if excess > 0.005 else "warn" if excess > -0.005 else "fail"
    message = (
        f"χ is {excess:+.3f} ppm where R2* is highest, against the rest"
        + {
            "ok": ": iron is bright, the sign is right.",
            "warn": ": too little to tell the sign of the phase.",
            "fail": ": the sign of the phase is probably inverted; see --phase-sign.",
        }[level]
    )
    return Verdict("sign of the phase", "dipole", level, message, excess, "> +0.005 ppm")


def chi_range(s: _Sample) -> Verdict | None:
    """Outside bleeding and calcification brain tissue stays within some tenths of a ppm."""
    values = s.inside("chi")
    if values is None:
        return None
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    size = max(-low, high)
    level = "ok" if 0.02 < size < 0.5 else "warn"
    message = f"98 % of χ lies between {low:+.3f} and {high:+.3f} ppm."
    return Verdict("susceptibility range", "dipole", level, message, size, "0.02–0.5 ppm")


def _share_of_steps(field: np.ndarray, mask: np.ndarray, limit: float) -> float:
    """Share of neighbouring pairs inside the mask that differ by more than the limit; slabs keep the memory low."""
    jumps = pairs = 0
    for x in range(0, field.shape[0], 16):
        f, m = field[x : x + 17], mask[x : x + 17]
        for axis, keep in ((0, slice(None)), (1, slice(16)), (2, slice(16))):
            a = tuple(slice(None, -1) if i == axis else keep if i == 0 else slice(None) for i in range(3))
            b = tuple(slice(1, None) if i == axis else keep if i == 0 else slice(None) for i in range(3))
            both = m[a] & m[b]
            pairs += int(both.sum())
            jumps += int((np.abs(f[b] - f[a])[both] > limit).sum())
    return jumps / max(pairs, 1)


_CHECKS: tuple[Callable[[_Sample], Verdict | None], ...] = (
    finite,
    mask_volume,
    mask_unity,
    r2star_range,
    r2star_error,
    field_noise,
    field_jumps,
    field_mask_share,
    local_field_size,
    local_mask_share,
    chi_sign,
    chi_range,
)
