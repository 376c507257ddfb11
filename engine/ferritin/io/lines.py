"""Which acquisition is what: lines routed by flag, placed on the k-space grid, and checked for completeness.

Flags are bit numbers from one, as ISMRMRD counts them (Inati et al., MRM 2017;77:411).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ferritin.errors import HeaderError, InputError, few
from ferritin.io.header import Encoding, Limits
from ferritin.scan import Finding

KINDS = (
    "imaging", "noise", "calibration", "calibration and imaging", "navigation", "phase correction", "dummy",
    "feedback", "surface coil correction", "phase stabilisation",
)  # fmt: skip
IMAGING, NOISE, CALIBRATION, BOTH = range(4)
_BIT_OF_KIND = ((30, 9), (31, 9), (29, 8), (26, 7), (28, 7), (27, 6), (24, 5), (23, 4), (20, 2), (21, 3), (19, 1))
_REVERSE = 22
_LEAST_EXTENT, _LEAST_SIDE = 0.4, 0.04
_MOST_OUTSIDE = 0.1

TABLE = np.dtype(
    [("kind", "u1"), ("reversed", "?"), ("space", "u2"), ("samples", "u2"), ("channels", "u2"), ("center", "u2")]
    + [("discard_pre", "u2"), ("discard_post", "u2"), ("dwell_us", "f4")]
    + [(name, "u2") for name in ("step_1", "step_2", "average", "slice", "contrast", "phase", "repetition", "set")]
)
_HEAD_NAMES = {
    "space": "encoding_space_ref", "samples": "number_of_samples", "channels": "active_channels",
    "center": "center_sample", "discard_pre": "discard_pre", "discard_post": "discard_post",
    "dwell_us": "sample_time_us",
}  # fmt: skip
_INDEX_NAMES = {"step_1": "kspace_encode_step_1", "step_2": "kspace_encode_step_2"}


def table_of(heads: np.ndarray) -> np.ndarray:
    """The few fields of acquisition headers that are kept: one row of TABLE for each."""
    out = np.zeros(len(heads), TABLE)
    flags = heads["flags"].astype(np.uint64)
    for bit, kind in _BIT_OF_KIND:  # the last that matches wins: noise over all others
        out["kind"][_bit(flags, bit)] = kind
    out["reversed"] = _bit(flags, _REVERSE)
    for ours, theirs in _HEAD_NAMES.items():
        out[ours] = heads[theirs]
    for ours in ("step_1", "step_2", "average", "slice", "contrast", "phase", "repetition", "set"):
        out[ours] = heads["idx"][_INDEX_NAMES.get(ours, ours)]
    return out


def _bit(flags: np.ndarray, number: int) -> np.ndarray:
    return (flags >> np.uint64(number - 1)) & np.uint64(1) != 0


@dataclass(frozen=True, eq=False)
class Imaging:
    """The lines that make the image, in file order.

    rows : acquisition numbers. echo : from 0. ky, kz : steps from the k-space centre.
    slice : position among the slices for a 2-D scan (kz is 0 then), 0 for a 3-D one.
    layer : 0 for the first line at its place, 1 for the second (an average), and so on.
    n_slices : 1 for a 3-D scan of one slab.
    """

    rows: np.ndarray
    echo: np.ndarray
    ky: np.ndarray
    kz: np.ndarray
    slice: np.ndarray
    layer: np.ndarray
    n_echoes: int
    slices: np.ndarray

    @property
    def n_slices(self) -> int:
        return len(self.slices)

    @property
    def n_averages(self) -> int:
        return int(self.layer.max()) + 1


def imaging_lines(
    table: np.ndarray, encodings: tuple[Encoding, ...], name: str
) -> tuple[Imaging, Encoding, list[Finding]]:
    """Pick the imaging lines of one encoding space and place them. Raises HeaderError or InputError."""
    findings: list[Finding] = []
    keep = np.isin(table["kind"], (IMAGING, BOTH))
    if not keep.any():
        raise InputError(f"{name}: {len(table)} acquisitions, but no imaging line among them; export the scan again")
    for field in ("space", "repetition", "phase", "set"):
        keep = _one_value(table, keep, field, findings)
    rows = np.flatnonzero(keep)
    here = table[rows]
    space = int(here["space"][0])
    if space >= len(encodings):
        raise HeaderError(
            f"{name}: lines refer to encoding {space}, but the header has {len(encodings)}; mend the header"
        )
    encoding = encodings[space]
    if encoding.trajectory != "cartesian":
        raise InputError(f"{name}: trajectory is '{encoding.trajectory}', expected cartesian; grid the data before")
    ny, nz = encoding.encoded.matrix[1:]
    slices, slice_index = np.unique(here["slice"], return_inverse=True)
    if len(slices) > 1 and nz > 1:
        raise InputError(
            f"{name}: {len(slices)} slabs of {nz} partitions; expected one slab, or slices of one partition"
        )
    ky = here["step_1"].astype(np.int32) - (encoding.step_1.center if encoding.step_1 else ny // 2)
    kz = here["step_2"].astype(np.int32) - (encoding.step_2.center if encoding.step_2 and nz > 1 else nz // 2)
    inside = _inside(ky, kz, encoding, name)
    if not inside.all():
        findings.append(Finding(
            f"{np.sum(~inside)} of {len(rows)} lines lie outside the encoded matrix {ny} x {nz}", "they were left out"
        ))  # fmt: skip
        rows, here, ky, kz, slice_index = (a[inside] for a in (rows, here, ky, kz, slice_index))
    n_echoes = _echo_count(here["contrast"], name)
    lines = Imaging(
        rows, here["contrast"].astype(np.int32), ky, kz, slice_index.astype(np.int32),
        _layers(here["contrast"], ky, kz, slice_index), n_echoes, slices,
    )  # fmt: skip
    return lines, encoding, findings


def _inside(ky: np.ndarray, kz: np.ndarray, encoding: Encoding, name: str) -> np.ndarray:
    """Which lines lie in the encoded matrix. Raises HeaderError when so many do not that a centre must be wrong."""
    ny, nz = encoding.encoded.matrix[1:]
    inside = (ky >= -(ny // 2)) & (ky < ny - ny // 2) & (kz >= -(nz // 2)) & (kz < nz - nz // 2)
    n_outside = int(np.sum(~inside))
    if n_outside > _MOST_OUTSIDE * len(inside):
        raise HeaderError(
            f"{name}: {n_outside} of {len(inside)} lines lie outside the encoded matrix {ny} x {nz} around the k-space "
            f"centre {_centre(encoding.step_1)}, {_centre(encoding.step_2)} (steps 1 and 2); expected the step at "
            "k = 0 there: mend <center> of encodingLimits, or encodedSpace"
        )
    return inside


def _centre(limits: Limits | None) -> str:
    return str(limits.center) if limits else "not given"


def _one_value(table: np.ndarray, keep: np.ndarray, field: str, findings: list[Finding]) -> np.ndarray:
    """Keep one encoding space (the one with most lines), the first repetition, phase and set; say what was left."""
    values, counts = np.unique(table[field][keep], return_counts=True)
    if len(values) == 1:
        return keep
    chosen = values[np.argmax(counts)] if field == "space" else values[0]
    what = {"space": "encoding spaces"}.get(field, f"{field}s")
    findings.append(
        Finding(f"the file holds {len(values)} {what}", f"{field} {chosen} is reconstructed, the others are not")
    )
    return keep & (table[field] == chosen)


def _echo_count(contrast: np.ndarray, name: str) -> int:
    values = np.unique(contrast)
    n = int(values[-1]) + 1
    if len(values) != n:
        missing = np.setdiff1d(np.arange(n), values) + 1
        raise InputError(f"{name}: echoes {few(missing)} of {n} have no line; the scan is incomplete, export it again")
    return n


def _layers(*places: np.ndarray) -> np.ndarray:
    """How many earlier lines went to the same place."""
    order = np.lexsort(places)
    same = np.ones(len(order), bool)
    same[:1] = False
    for p in places:
        same[1:] &= p[order][1:] == p[order][:-1]
    position = np.arange(len(order))
    first = np.maximum.accumulate(np.where(same, 0, position))
    out = np.empty(len(order), np.int32)
    out[order] = position - first
    return out


@dataclass(frozen=True)
class Coverage:
    """How much of the encoded k-space was measured, the same for every echo.

    fraction : lines measured, of all. partial_fourier : extent along ky and kz, of the full extent.
    """

    fraction: float
    partial_fourier: tuple[float, float]


def coverage(lines: Imaging, encoding: Encoding, name: str) -> Coverage:
    """Check that every echo has the same lines, without holes, around the k-space centre.

    Partial Fourier (from one side) and elliptical scans pass. Raises InputError for an incomplete or undersampled one.
    """
    ny, nz = encoding.encoded.matrix[1:]
    masks = np.zeros((lines.n_echoes, lines.n_slices, ny, nz), bool)
    masks[lines.echo, lines.slice, lines.ky + ny // 2, lines.kz + nz // 2] = True
    per_echo = masks.sum(axis=(1, 2, 3))
    if (masks != masks[:1]).any():
        raise InputError(
            f"{name}: echoes 1 to {lines.n_echoes} have {few(per_echo)} lines; expected the same lines in each: "
            "the scan is incomplete, export it again"
        )
    if (masks[0] != masks[0, :1]).any():
        raise InputError(
            f"{name}: the slices have {few(masks[0].sum(axis=(1, 2)))} lines; expected the same lines in each: "
            "the scan is incomplete, export it again"
        )
    mask = masks[0, 0]
    _refuse_holes(mask, encoding, name)
    extent = tuple(_extent(mask.any(axis=1 - axis), "yz"[axis], name) for axis in (0, 1))
    return Coverage(float(mask.mean()), extent)


def _refuse_holes(mask: np.ndarray, encoding: Encoding, name: str) -> None:
    """Places that are not measured although lines on both sides of them are."""
    holes = np.zeros_like(mask)
    for axis in (0, 1):
        before = np.maximum.accumulate(mask, axis=axis)
        after = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis=axis), axis)
        holes |= before & after & ~mask
    n_holes, n = int(holes.sum()), int(mask.sum())
    if not n_holes:
        return
    if encoding.acceleration != (1, 1) or n_holes > 0.3 * n:
        factor = " x ".join(map(str, encoding.acceleration))
        said = f"R = {factor}" if encoding.acceleration != (1, 1) else f"about R = {(n + n_holes) / n:.1f}"
        raise InputError(
            f"{name}: {n} of {n + n_holes} lines measured ({said}); undersampled scans are not supported yet, "
            "expected every line: reconstruct the missing ones before"
        )
    ky, kz = np.argwhere(holes)[0]
    raise InputError(
        f"{name}: {n_holes} of {n + n_holes} lines are missing, the first at step {ky}, {kz} of the grid; "
        "expected every line: export the scan again"
    )


def _extent(measured: np.ndarray, axis: str, name: str) -> float:
    """Fraction of an axis between the first and the last measured step; the centre must be inside."""
    there, n = np.flatnonzero(measured), len(measured)
    extent = (there[-1] - there[0] + 1) / n
    if not there[0] <= n // 2 <= there[-1]:
        raise InputError(
            f"{name}: k{axis} steps {there[0]} to {there[-1]} of {n} are measured, without the centre {n // 2}; "
            "the scan is incomplete, or encodingLimits are wrong: export it again"
        )
    if extent < _LEAST_EXTENT:
        raise InputError(
            f"{name}: only k{axis} steps {there[0]} to {there[-1]} of {n} are measured, expected at least "
            f"{100 * _LEAST_EXTENT:.0f} %; the scan is incomplete, or encodedSpace is wrong: export it again"
        )
    before, after = int(n // 2 - there[0]), int(there[-1] - n // 2)
    least = min(math.ceil(_LEAST_SIDE * n), (n - 1) // 2)
    if min(before, after) < least:
        raise HeaderError(
            f"{name}: k{axis} has {before} steps before and {after} after its centre of {n} steps, expected at least "
            f"{least} on both sides; mend <center> of encodingLimits, or encodedSpace"
        )
    return float(extent)
