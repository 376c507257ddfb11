"""Folders of magnitude and phase NIfTI files with sidecars, written without the engine."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel
import numpy as np

AFFINE = np.array([[-1.5, 0, 0, 4], [0, 2, 0, -5], [0, 0, 3, 6], [0, 0, 0, 1.0]])


def echoes(n_echoes: int = 3, shape: Sequence[int] = (12, 11, 10), seed: int = 0) -> np.ndarray:
    """Complex echoes whose phase fills the whole circle."""
    rng = np.random.default_rng(seed)
    size, angle = rng.uniform(1, 9, (n_echoes, *shape)), rng.uniform(-np.pi, np.pi, (n_echoes, *shape))
    return (size * np.exp(1j * angle)).astype(np.complex64)


def save(
    path: Path,
    values: np.ndarray,
    affine: np.ndarray = AFFINE,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    **sidecar: object,
) -> Path:
    """Write stored values with a slope and an intercept that nothing has been divided by, and a sidecar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_slope_inter(slope, intercept)
    header = image.header.copy()
    header["vox_offset"] = 352
    content = header.binaryblock + b"\0" * 4 + values.tobytes(order="F")
    opener = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "wb") as f:
        f.write(content)
    if sidecar:
        path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json").write_text(json.dumps(sidecar))
    return path


def folder(
    path: Path,
    signal: np.ndarray,
    *,
    te_s: Sequence[float] = (0.004, 0.009, 0.014),
    b0: float | None = 3.0,
    stem: str = "sub-01",
    ending: str = ".nii.gz",
    phase: Callable[[np.ndarray], np.ndarray] = lambda rad: rad.astype(np.float32),
    units: str | None = "rad",
    **phase_options: float,
) -> Path:
    """One magnitude and one phase file for each echo, with BIDS names; phase: from rad to stored values."""
    for e, (image, te) in enumerate(zip(signal, te_s), 1):
        sidecar = {"EchoTime": te, **({"MagneticFieldStrength": b0} if b0 else {})}
        save(path / f"{stem}_echo-{e}_part-mag_MEGRE{ending}", np.abs(image).astype(np.float32), **sidecar)
        sidecar |= {"Units": units} if units else {}
        name = f"{stem}_echo-{e}_part-phase_MEGRE{ending}"
        save(path / name, phase(np.angle(image)), **phase_options, **sidecar)
    return path
