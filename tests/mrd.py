"""Small ISMRMRD files with every number chosen by the test, written without the engine; k-space by explicit sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ismrmrd.hdf5 import acquisition_dtype

NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE, NAVIGATION, PHASE_CORRECTION, DUMMY = 19, 20, 21, 22, 23, 24, 27

XML = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <measurementInformation><patientPosition>HFS</patientPosition><protocolName>test</protocolName></measurementInformation>
 <acquisitionSystemInformation>{system}<relativeReceiverNoiseBandwidth>{bandwidth}</relativeReceiverNoiseBandwidth>
 </acquisitionSystemInformation>
 <experimentalConditions>{f0}</experimentalConditions>
 <encoding>
  <encodedSpace>{encoded}</encodedSpace><reconSpace>{recon}</reconSpace>
  <encodingLimits>{limits}</encodingLimits>
  <trajectory>{trajectory}</trajectory>{parallel}
 </encoding>
 <sequenceParameters><TR>30</TR>{te}<flipAngle_deg>12</flipAngle_deg></sequenceParameters>
</ismrmrdHeader>"""


def header(
    encoded: Sequence[int],
    recon: Sequence[int],
    *,
    fov_encoded: Sequence[float],
    fov_recon: Sequence[float],
    te_ms: Sequence[float] = (4, 9),
    centers: tuple[int, int] | None = None,
    b0: float | None = 3.0,
    trajectory: str = "cartesian",
    bandwidth: float = 1.0,
    acceleration: int = 1,
) -> str:
    """The XML header. centers: of step 1 and 2; None leaves the limits out."""

    def space(matrix: Sequence[float], fov: Sequence[float]) -> str:
        axes = lambda values: "".join(f"<{a}>{v}</{a}>" for a, v in zip("xyz", values))  # noqa: E731
        return f"<matrixSize>{axes(matrix)}</matrixSize><fieldOfView_mm>{axes(fov)}</fieldOfView_mm>"

    limits = ""
    for i, center in enumerate(centers or ()):
        step = f"kspace_encoding_step_{i + 1}"
        limits += (
            f"<{step}><minimum>0</minimum><maximum>{encoded[i + 1] - 1}</maximum><center>{center}</center></{step}>"
        )
    factor = f"<kspace_encoding_step_1>{acceleration}</kspace_encoding_step_1>"
    factor += "<kspace_encoding_step_2>1</kspace_encoding_step_2>"
    parallel = f"<parallelImaging><accelerationFactor>{factor}</accelerationFactor></parallelImaging>"
    return XML.format(
        system="" if b0 is None else f"<systemFieldStrength_T>{b0}</systemFieldStrength_T>",
        f0="" if b0 is None else f"<H1resonanceFrequency_Hz>{42577478.518 * b0:.0f}</H1resonanceFrequency_Hz>",
        encoded=space(encoded, fov_encoded),
        recon=space(recon, fov_recon),
        limits=limits,
        trajectory=trajectory,
        te="".join(f"<TE>{t}</TE>" for t in te_ms),
        bandwidth=bandwidth,
        parallel="" if acceleration == 1 else parallel,
    )


@dataclass
class Line:
    """One acquisition: data (coil, sample) complex, and what its header says."""

    data: np.ndarray
    echo: int = 0
    ky: int = 0
    kz: int = 0
    flags: tuple[int, ...] = ()
    center: int | None = None
    pre: int = 0
    post: int = 0
    average: int = 0
    slice: int = 0
    dwell_us: float = 5.0
    position: Sequence[float] = (0, 0, 0)
    directions: np.ndarray | None = None
    repetition: int = 0

    def put(self, records: np.ndarray, i: int) -> None:
        """Write this acquisition into row i."""
        head = records["head"][i]
        n_coils, n_samples = self.data.shape
        directions = np.eye(3) if self.directions is None else self.directions
        values = {
            "version": 1, "flags": sum(1 << (f - 1) for f in self.flags), "number_of_samples": n_samples,
            "center_sample": n_samples // 2 if self.center is None else self.center, "active_channels": n_coils,
            "available_channels": n_coils, "discard_pre": self.pre, "discard_post": self.post,
            "sample_time_us": self.dwell_us, "position": self.position, "read_dir": directions[:, 0],
            "phase_dir": directions[:, 1], "slice_dir": directions[:, 2],
        }  # fmt: skip
        for name, value in values.items():
            head[name] = value
        index = {"kspace_encode_step_1": self.ky, "kspace_encode_step_2": self.kz, "contrast": self.echo}
        for name, value in (index | {n: getattr(self, n) for n in ("average", "slice", "repetition")}).items():
            head["idx"][name] = value
        records["data"][i] = np.ascontiguousarray(self.data, np.complex64).view(np.float32).ravel()
        records["traj"][i] = np.empty(0, np.float32)


def write(path: Path, xml: str | bytes, lines: Iterable[Line], **storage: Any) -> Path:
    """Write the file; storage: chunks, compression, ... of the acquisitions."""
    lines = list(lines)
    out = np.zeros(len(lines), acquisition_dtype)
    for i, line in enumerate(lines):
        line.put(out, i)
    with h5py.File(path, "w") as f:
        group = f.create_group("dataset")
        group.create_dataset("xml", data=[xml], dtype=h5py.special_dtype(vlen=bytes))
        data = group.create_dataset(
            "data", (len(out),), acquisition_dtype, **({"chunks": (7,), "maxshape": (None,)} | storage)
        )
        if len(out):
            data[:] = out
    return path


def dft(n: int, n_image: int | None = None) -> np.ndarray:
    """Matrix from n_image voxels to n k-space steps, both centred at index n//2, orthonormal for n_image = n."""
    k, x = np.arange(n) - n // 2, np.arange(n_image or n) - (n_image or n) // 2
    return np.exp(-2j * np.pi * np.outer(k, x) / n) / np.sqrt(n)


def kspace(images: np.ndarray, encoded: Sequence[int]) -> np.ndarray:
    """k-space (..., kx, ky, kz) of images (..., x, y, z) that lie in the middle of a larger field of view."""
    matrices = [dft(n, m) for n, m in zip(encoded, images.shape[-3:])]
    return np.einsum("ax,by,cz,...xyz->...abc", *matrices, images, optimize=True)


def white_noise(covariance: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n samples (coil, sample) whose sample covariance, sum n n^H / (n - 1), is exactly `covariance`."""
    n_coils = len(covariance)
    rows = np.linalg.qr(rng.normal(size=(n, n_coils)) + 1j * rng.normal(size=(n, n_coils)))[0].T
    return np.linalg.cholesky(covariance) @ rows * np.sqrt(n - 1)


def noise_line(n_coils: int, rng: np.random.Generator, covariance: np.ndarray | None = None, **head: Any) -> Line:
    """A noise scan; by default such that whitening is the identity (covariance 2, same dwell, bandwidth 1)."""
    covariance = 2 * np.eye(n_coils) if covariance is None else covariance
    return Line(white_noise(covariance, 64 * n_coils, rng), flags=(NOISE,), **head)


def imaging_lines(k: np.ndarray, **head: Any) -> list[Line]:
    """One line for each echo, ky, kz of k-space (coil, echo, kx, ky, kz); echoes innermost, as scanned."""
    _, n_echoes, _, ny, nz = k.shape
    places = [(e, y, z) for z in range(nz) for y in range(ny) for e in range(n_echoes)]
    return [Line(k[:, e, :, y, z], echo=e, ky=y, kz=z, **head) for e, y, z in places]


def random_images(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Complex numbers without any symmetry that could hide a flip or a shift."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def simple(
    path: Path, *, n_coils: int = 2, shape: Sequence[int] = (6, 5, 4), te_ms: Sequence[float] = (4, 9), **head: Any
) -> Path:
    """A sound small file, for tests that spoil one thing: head goes to the XML header."""
    encoded = (2 * shape[0], *shape[1:])
    xml = header(
        encoded, shape, fov_encoded=[2 * n for n in encoded], fov_recon=[2 * n for n in shape], te_ms=te_ms,
        **({"centers": (shape[1] // 2, shape[2] // 2)} | head),
    )  # fmt: skip
    images = random_images((n_coils, len(te_ms), *shape))
    rng = np.random.default_rng(1)
    return write(path, xml, [noise_line(n_coils, rng), *imaging_lines(kspace(images, encoded))])
