"""Acquire raw k-space: every line of every echo with all coils and their noise, written as ISMRMRD."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ferritin.phantom.coils import Coils
from ferritin.phantom.kspace import Lines, centred_fft, sampled_lines
from ferritin.phantom.raw import (
    CALIBRATION,
    CALIBRATION_AND_IMAGING,
    NOISE,
    REVERSE,
    RawFile,
    bit,
    header_xml,
    triple,
)
from ferritin.phantom.scanner import Scanner
from ferritin.units import GAMMA_HZ_PER_T

_DWELL_US, _NOISE_DWELL_US, _NOISE_BANDWIDTH = 5.0, 10.0, 0.793
_LINES_AT_ONCE = 512


def write_raw(path: Path, scanner: Scanner, coil_rng: np.random.Generator, rng: np.random.Generator) -> None:
    """Write multi-coil k-space with a noise scan; one coil of one echo is in memory at a time.

    The channels of an echo meet in a temporary file beside the result, for a line in ISMRMRD holds all of them.
    """
    p = scanner.protocol
    nx, ny, nz = scanner.images.shape
    coils = Coils(scanner.images, p.coils, p.b0_t, coil_rng)
    lines = sampled_lines(ny, nz, accel=p.accel, partial_fourier=p.partial_fourier, elliptical=p.elliptical)
    sd = np.float32(scanner.sigma * np.sqrt(2 * nx * ny * nz))  # of an unnormalised transform over 2 nx, ny, nz
    mix = coils.noise_mix.T.astype(np.complex64)

    def noise(n: int, samples: int, scale: float) -> np.ndarray:
        white = rng.standard_normal((n, samples, p.coils, 2), np.float32).view(np.complex64)[..., 0]
        return (white @ mix).transpose(0, 2, 1) * np.float32(scale)

    part = path.with_name(f".{path.name}.part")
    try:
        with RawFile(part, _xml(scanner), _geometry(scanner)) as raw:
            narrow = np.sqrt(_DWELL_US / _NOISE_DWELL_US * _NOISE_BANDWIDTH)
            raw.append(noise(16, 512, sd * narrow), flags=bit(NOISE), dwell_us=_NOISE_DWELL_US)
            for index in range(len(p.te_ms)):
                _append_echo(raw, scanner, coils, index, lines, lambda n: noise(n, 2 * nx, sd))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _append_echo(
    raw: RawFile, scanner: Scanner, coils: Coils, index: int, lines: Lines, noise: Callable[[int], np.ndarray]
) -> None:
    image = scanner.echo(index, oversampling=2)
    backwards = scanner.reads_backwards(index)
    with tempfile.TemporaryFile(dir=Path(raw.name).parent) as spool:
        k = np.memmap(spool, np.complex64, "w+", shape=(len(lines), coils.n, len(image)))
        for c in range(coils.n):
            full = centred_fft(image * coils.sensitivity(c, oversampling=2), (0, 1, 2))
            k[:, c] = full[:, lines.ky, lines.kz].T
        for start in range(0, len(lines), _LINES_AT_ONCE):
            some = slice(start, min(start + _LINES_AT_ONCE, len(lines)))
            data = k[some] + noise(some.stop - start)
            flags = _flags(lines, some)
            if backwards:  # samples reversed; the centre keeps its place at n // 2
                data, flags = np.roll(data[:, :, ::-1], 1, axis=2), flags | bit(REVERSE)
            counters = {
                "kspace_encode_step_1": lines.ky[some], "kspace_encode_step_2": lines.kz[some], "contrast": index,
            }  # fmt: skip
            raw.append(data, flags=flags, dwell_us=_DWELL_US, counters=counters)


def _flags(lines: Lines, some: slice) -> np.ndarray:
    calibration, on_grid = lines.calibration[some], lines.on_grid[some]
    flags = np.where(calibration & on_grid, bit(CALIBRATION_AND_IMAGING), np.uint64(0))
    return np.where(calibration & ~on_grid, bit(CALIBRATION), flags).astype(np.uint64)


def _geometry(scanner: Scanner) -> dict[str, np.ndarray]:
    """Directions and place in patient coordinates, which run to left and back (LPS)."""
    lps = np.diag([-1.0, -1.0, 1.0])
    directions = lps @ scanner.images.rotation
    names = ("read_dir", "phase_dir", "slice_dir")
    return dict(zip(names, directions.T)) | {"position": lps @ scanner.images.centre_mm}


def _xml(scanner: Scanner) -> str:
    p, shape = scanner.protocol, scanner.images.shape
    nx, ny, nz = shape
    fov = [n * v for n, v in zip(shape, p.voxel_mm)]
    limit = lambda n, centre: {"minimum": 0, "maximum": n - 1, "center": centre}  # noqa: E731
    encoding = {
        "encodedSpace": {"matrixSize": triple((2 * nx, ny, nz)), "fieldOfView_mm": triple((2 * fov[0], *fov[1:]))},
        "reconSpace": {"matrixSize": triple(shape), "fieldOfView_mm": triple(fov)},
        "encodingLimits": {
            "kspace_encoding_step_1": limit(ny, ny // 2),
            "kspace_encoding_step_2": limit(nz, nz // 2),
            "contrast": limit(len(p.te_ms), 0),
        },
        "trajectory": "cartesian",
    }
    if max(p.accel) > 1:
        factor = {"kspace_encoding_step_1": p.accel[0], "kspace_encoding_step_2": p.accel[1]}
        encoding["parallelImaging"] = {"accelerationFactor": factor, "calibrationMode": "embedded"}
    return header_xml(
        {
            "measurementInformation": {"patientPosition": "HFS", "protocolName": "megre"},
            "acquisitionSystemInformation": {
                "systemVendor": "SIMULATED",
                "systemFieldStrength_T": p.b0_t,
                "relativeReceiverNoiseBandwidth": _NOISE_BANDWIDTH,
                "receiverChannels": p.coils,
            },
            "experimentalConditions": {"H1resonanceFrequency_Hz": round(GAMMA_HZ_PER_T * p.b0_t)},
            "encoding": encoding,
            "sequenceParameters": {"TR": p.tr_ms, "TE": list(p.te_ms), "flipAngle_deg": p.flip_deg},
        }
    )
