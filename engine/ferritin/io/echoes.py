"""Complex echoes from magnitude and phase images, put together in place, and the Scan around them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ferritin.errors import HeaderError, InputError
from ferritin.io import checks
from ferritin.io.bids import Image, Series, open_all
from ferritin.io.nifti import Nifti, open_nifti
from ferritin.io.phase_scaling import recognise
from ferritin.scan import Finding, Scan
from ferritin.units import GAMMA_HZ_PER_T

_FACTS = {
    "Manufacturer": "vendor", "ManufacturersModelName": "model", "SoftwareVersions": "software",
    "InstitutionName": "institution", "ProtocolName": "protocol", "SeriesDescription": "series",
    "RepetitionTime": "tr_s", "FlipAngle": "flip_deg", "RefocusingFlipAngle": "refocusing_deg",
    "ConversionSoftware": "converter",
}  # fmt: skip


def scan_of_series(
    path: Path,
    series: Series,
    *,
    phase_scaling: str | None,
    phase_sign: str | int,
    before_voxels: Callable[[Scan], None] | None = None,
    **given: Any,
) -> Scan:
    """Read the images of a series; header errors, and those of before_voxels, come before any voxel is read.

    given: see headers_of_series.
    """
    sign = checks.phase_sign_of(phase_sign)
    scan, magnitude, phase = headers_of_series(path, series, **given)
    if before_voxels:
        before_voxels(scan)
    findings: list[Finding] = []
    if series.phase:
        echoes, scaling = _complex(series, magnitude, phase, phase_scaling, sign, findings)
    else:
        echoes, scaling = _magnitude(magnitude, findings), "none"
    files = [i.path for i in (*series.magnitude, *series.phase)]
    hashes = {p.relative_to(path).as_posix(): checks.content_hash(p) for p in files}
    total = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
    read = {"reading": {"phase_scaling": scaling, "phase_sign": "+-"[sign < 0]}, "hash": f"sha256:{total}"}
    return scan.replace(
        data={"echoes": echoes, "noise_sd": None},
        provenance={**scan.provenance, **read, "files": hashes},
        findings=(*scan.findings, *findings, *_sign_findings(series.magnitude[0].sidecar, sign)),
    )


def headers_of_series(
    path: Path,
    series: Series,
    *,
    te_ms: Sequence[float] | None = None,
    b0: float | None = None,
    polarity: str | Sequence[int] | None = None,
) -> tuple[Scan, list[Nifti], list[Nifti]]:
    """The scan without its voxels, and the magnitude and the phase files."""
    files = open_all([*series.magnitude, *series.phase])
    magnitude, phase = files[: len(series.magnitude)], files[len(series.magnitude) :]
    findings = [*magnitude[0].doubts]
    for file in files:
        findings += [Finding(f"{file.path.name}: {said}", "read so") for said in file.repairs]
    if series.left_out:
        names = ", ".join(p.name for p in series.left_out[:4])
        findings.append(Finding(f"{len(series.left_out)} other images in the folder ({names})", "not used", "info"))
    sidecars = [i.sidecar for i in (*series.magnitude, *series.phase)]
    b0_t, f0_hz = _field(sidecars, b0, path)
    provenance = {"format": "NIfTI", "files": [f.path.relative_to(path).as_posix() for f in files]}
    if series.subject:
        provenance["subject"] = series.subject
    provenance |= {ours: sidecars[0][theirs] for theirs, ours in _FACTS.items() if theirs in sidecars[0]}
    scan = checks.scan_of(
        path,
        te_s=_echo_times(series, _n_echoes(magnitude, phase, path), te_ms, path),
        b0_t=b0_t,
        f0_hz=f0_hz,
        affine=magnitude[0].affine,
        shape=magnitude[0].shape,
        polarity=checks.signs(polarity) or (),
        readout_axis=_readout_axis(sidecars[0]),
        sequence=series.sequence,
        provenance=provenance,
        findings=tuple(findings),
    )
    return scan, magnitude, phase


def _n_echoes(magnitude: list[Nifti], phase: list[Nifti], path: Path) -> int:
    counts = [sum(f.n_volumes for f in files) for files in (magnitude, phase or magnitude)]
    if counts[0] != counts[1] or (len(magnitude) > 1 and counts[0] != len(magnitude)):
        raise InputError(
            f"{path}: {counts[0]} magnitude and {counts[1]} phase volumes in {len(magnitude)} files each; expected one "
            "file for each echo, or one file with all echoes"
        )
    return counts[0]


def _echo_times(series: Series, n: int, te_ms: Sequence[float] | None, path: Path) -> tuple[float, ...]:
    """Echo times [s] from the user, or the sidecars' EchoTime, which magnitude and phase must agree on."""
    given = checks.echo_times_s(te_ms)
    if given is not None:
        if len(given) != n:
            ms = [round(1e3 * t, 4) for t in given]
            raise HeaderError(
                f"{path}: {n} echoes, but {len(given)} echo times {ms} ms; give one for each with --te-ms"
            )
        return given
    said = [_said_times(images) for images in (series.magnitude, series.phase) if images]
    known = [t for t in said if t is not None]
    if not known:
        raise HeaderError(f"{path}: no echo times (EchoTime in the sidecars); give them with --te-ms")
    if len(known) == 2 and not np.allclose(*known, atol=1e-6, rtol=0):
        raise HeaderError(
            f"{path}: echo times {known[0]} s of magnitude and {known[1]} s of phase differ; give --te-ms"
        )
    if len(known[0]) != n:
        raise HeaderError(f"{path}: {n} echoes, but echo times {known[0]} s; give one for each with --te-ms")
    if max(known[0]) > 0.5:
        raise HeaderError(f"{path}: EchoTime {known[0]} looks like ms, expected s; mend the sidecars or give --te-ms")
    return tuple(known[0])


def _said_times(images: Sequence[Image]) -> list[float] | None:
    """EchoTime of all images, None when one does not say it."""
    times: list[float] = []
    for image in images:
        value = image.sidecar.get("EchoTime")
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
            return None
        times += map(float, values)
    return times


def _field(sidecars: list[dict[str, Any]], b0: float | None, path: Path) -> tuple[float, float | None]:
    """Field strength [T] and proton frequency [Hz]; the latter only where the two agree."""
    said = next((s["MagneticFieldStrength"] for s in sidecars if s.get("MagneticFieldStrength")), None)
    b0_t = b0 if b0 is not None else said
    if not isinstance(b0_t, int | float):
        raise HeaderError(f"{path}: no field strength (MagneticFieldStrength in a sidecar); give it with --b0")
    mhz = next((s["ImagingFrequency"] for s in sidecars if isinstance(s.get("ImagingFrequency"), int | float)), None)
    agrees = (
        mhz is not None and abs(1e6 * mhz / (GAMMA_HZ_PER_T * b0_t) - 1) < checks.FREQUENCY_TOLERANCE if b0_t else False
    )
    return float(b0_t), 1e6 * mhz if agrees else None


def _readout_axis(sidecar: dict[str, Any]) -> int:
    """The in-plane axis that is not the phase-encoded one; x when the sidecar does not say."""
    encoded = str(sidecar.get("PhaseEncodingDirection") or sidecar.get("PhaseEncodingAxis") or "")[:1]
    along_rows = sidecar.get("InPlanePhaseEncodingDirectionDICOM") == "ROW"
    return 1 if encoded == "i" or (not encoded and along_rows) else 0


def load_phase(path: str | Path, phase_scaling: str | None = None) -> tuple[np.ndarray, np.ndarray, list[Finding]]:
    """One NIfTI file of wrapped phase in rad, or in a unit that its values tell or phase_scaling names.

    Returns
    -------
    phase : (x, y, z) or (x, y, z, t) float32 [rad]
    affine : (4, 4) float64 [mm]
    findings : which unit was recognised

    Raises
    ------
    AmbiguousError
        The unit cannot be told; the message names --phase-scaling.
    """
    file = open_nifti(path)
    phase = np.empty((*file.shape, file.n_volumes), np.float32)
    for i, volume in enumerate(file.volumes()):
        phase[..., i] = volume
    stored = float(np.nanmin(phase)), float(np.nanmax(phase))
    scaled = tuple(file.slope * v + file.intercept for v in stored)
    scaling, findings = recognise(stored, scaled, asked=phase_scaling, stated_rad=True, name=str(path))
    factor, offset = scaling.linear(file.slope, file.intercept)
    phase *= np.float32(factor)
    phase += np.float32(offset)
    return (phase[..., 0] if file.n_volumes == 1 else phase), file.affine, findings


def _complex(
    series: Series,
    magnitude: list[Nifti],
    phase: list[Nifti],
    asked: str | None,
    sign: int,
    findings: list[Finding],
) -> tuple[np.ndarray, str]:
    """Complex echoes, (echo, x, y, z) complex64, and the name of the phase scaling.

    Stored magnitude and phase wait in the real and the imaginary part until the range of all phases is known; then
    each slab becomes complex in place. Nothing is read twice and no echo is copied.
    """
    out = _real_parts(magnitude)
    for echo, (_, volume) in zip(out, _volumes(phase)):
        with np.errstate(invalid="ignore", over="ignore"):
            echo.imag = volume
    _zero_all_bad(out, findings)
    scales = [(file.slope, file.intercept) for file in phase for _ in range(file.n_volumes)]
    stored, scaled = _ranges(out, scales)
    units = [str(p.sidecar.get("Units", "")).lower() for p in series.phase]
    stated_rad = all(u in ("rad", "radian", "radians") for u in units)
    scaling, said = recognise(stored, scaled, asked=asked, stated_rad=stated_rad, name=str(phase[0].path))
    findings += said
    for echo, scale in zip(out, scales):
        _to_complex(echo, *(sign * v for v in scaling.linear(*scale)))
    return out, scaling.name


def _magnitude(magnitude: list[Nifti], findings: list[Finding]) -> np.ndarray:
    """Echoes without phase, (echo, x, y, z) complex64."""
    out = _real_parts(magnitude)
    _zero_all_bad(out, findings)
    return out


def _real_parts(magnitude: list[Nifti]) -> np.ndarray:
    """Complex echoes that hold the magnitudes, scaled, and no imaginary part."""
    n_echoes = sum(file.n_volumes for file in magnitude)
    out = np.zeros((n_echoes, *magnitude[0].shape), np.complex64)
    for echo, (file, volume) in zip(out, _volumes(magnitude)):
        with np.errstate(invalid="ignore", over="ignore"):  # such voxels are counted later
            np.multiply(volume, file.slope, out=echo.real, casting="unsafe")
            echo.real += np.float32(file.intercept)
    return out


def _zero_all_bad(echoes: np.ndarray, findings: list[Finding]) -> None:
    n_bad = sum(_zero_bad(echo) for echo in echoes)
    if n_bad:
        findings.append(Finding(f"{n_bad} voxels are NaN or infinite in magnitude or phase", "set to zero"))


def _volumes(files: list[Nifti]) -> Iterator[tuple[Nifti, np.ndarray]]:
    return ((file, volume) for file in files for volume in file.volumes())


def _zero_bad(echo: np.ndarray) -> int:
    """Set voxels with NaN or infinity to zero and count them."""
    with np.errstate(invalid="ignore"):
        total = echo.sum(dtype=np.complex128)
    if np.isfinite(total):
        return 0
    bad = ~np.isfinite(echo)
    echo[bad] = 0
    return int(bad.sum())


def _ranges(out: np.ndarray, scales: list[tuple[float, float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Smallest and largest phase value of all echoes: as stored, and after each file's slope and intercept."""
    ends = [(float(echo.imag.min()), float(echo.imag.max())) for echo in out]
    scaled = [slope * v + intercept for pair, (slope, intercept) in zip(ends, scales) for v in pair]
    stored = [v for pair in ends for v in pair]
    return (min(stored), max(stored)), (min(scaled), max(scaled))


def _to_complex(echo: np.ndarray, factor: float, offset: float) -> None:
    """Real part: magnitude, imaginary part: stored phase; in place to magnitude * exp(i (factor * stored + offset))."""
    for slab in echo:
        angle = np.float32(factor) * slab.imag + np.float32(offset)
        size = slab.real.copy()
        np.multiply(size, np.cos(angle), out=slab.real)
        np.multiply(size, np.sin(angle), out=slab.imag)


def _sign_findings(sidecar: dict[str, Any], sign: int) -> list[Finding]:
    vendor = str(sidecar.get("Manufacturer", ""))
    if sign < 0 or not vendor.upper().startswith("GE"):
        return []
    problem = f"images of a {vendor} scanner, whose phase as a rule falls where the field is higher"
    return [Finding(problem, "read as it is; if veins come out dark in the susceptibility map, use --phase-sign -")]
