"""Scan: what was measured, where it lies in space, and the data as the file supplies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ferritin.errors import HeaderError, ShapeError
from ferritin.units import hz_per_ppm


@dataclass(frozen=True)
class Finding:
    """An oddity met while reading, and what was done about it. Never a silent repair."""

    problem: str
    repair: str
    level: str = "warning"

    def __str__(self) -> str:
        return f"{self.problem}; {self.repair}"


@dataclass(frozen=True, eq=False)
class Scan:
    """A multi-echo scan: geometry, timing, field, and the data themselves.

    Attributes
    ----------
    te_s : tuple of float [s]
        Echo times, increasing; empty only for a scan without echoes (a field map from elsewhere).
    b0_t : float [T] or None
        Static field.
    affine : (4, 4) float64 [mm]
        Voxel index (x, y, z) to RAS+ world coordinates.
    shape : tuple of three int
        Voxels along x, y, z.
    f0_hz : float, optional [Hz]
        Proton frequency; γ̄·B0 when the header has none.
    polarity : tuple of +1 and -1, optional
        Readout direction per echo; all +1 when not said.
    readout_axis : int
        Array axis of the readout gradient.
    sequence : "gradient echo" or "spin echo"
        What the echoes are; stages that need the other kind refuse them.
    data : mapping of artifact name to value
        What the file supplies: `coil_images` (raw) or `echoes` (NIfTI); see stages.py for units and shapes.
    provenance : dict
        Where the data come from: file, hash, software, protocol. JSON-ready.
    findings : tuple of Finding
        What the reader noticed.
    """

    te_s: tuple[float, ...]
    b0_t: float | None
    affine: np.ndarray
    shape: tuple[int, int, int]
    f0_hz: float | None = None
    polarity: tuple[int, ...] = ()
    readout_axis: int = 0
    sequence: str = "gradient echo"
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        te = tuple(float(t) for t in self.te_s)
        ms = [round(1e3 * t, 4) for t in te]
        if not all(np.isfinite(te)) or any(b <= a for a, b in zip((0.0, *te), te)):
            raise HeaderError(f"echo times must be positive and increase, got {ms} ms; give them with --te-ms")
        if not te and {"raw", "echoes"} & {*self.data}:
            raise HeaderError("no echo times are known; give them with --te-ms")
        if self.b0_t is not None and not 0.01 < self.b0_t < 30:
            raise HeaderError(f"field strength {self.b0_t} T is not between 0.01 and 30 T; give it with --b0")
        affine = np.asarray(self.affine, np.float64)
        if affine.shape != (4, 4) or abs(np.linalg.det(affine[:3, :3])) < 1e-9 or not np.all(np.isfinite(affine)):
            raise HeaderError(f"affine {affine.tolist()} cannot be inverted; mend the file's orientation header")
        polarity = tuple(self.polarity) or (1,) * len(te)
        if len(polarity) != len(te) or set(polarity) - {1, -1}:
            raise ShapeError(f"polarity {polarity} does not name + or - for each of {len(te)} echoes; see --polarity")
        f0 = self.f0_hz or (self.b0_t and 1e6 * hz_per_ppm(self.b0_t))
        clean = {
            "te_s": te,
            "affine": affine,
            "polarity": polarity,
            "data": MappingProxyType(dict(self.data)),
            "f0_hz": f0 and float(f0),
            "shape": tuple(int(n) for n in self.shape),
        }
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    @property
    def n_echoes(self) -> int:
        """Number of echoes."""
        return len(self.te_s)

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Voxel edge lengths [mm] along the array axes."""
        return tuple(float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def b0_dir(self) -> tuple[float, float, float]:
        """Unit vector of B0 in the array's own axes: Rᵀ·(0, 0, 1), R the normalised columns of the affine."""
        rotation = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        b = rotation.T @ (0.0, 0.0, 1.0)
        return tuple(float(v) for v in b / np.linalg.norm(b))

    @property
    def hz_per_ppm(self) -> float:
        """Hz that one ppm of B0 is worth, from the header's proton frequency. Raises HeaderError when unknown."""
        if not self.f0_hz:
            raise HeaderError("the field strength is not known, so Hz cannot become ppm; give it with --b0")
        return 1e-6 * self.f0_hz

    def replace(self, **changes: Any) -> Scan:
        """A copy with some attributes changed."""
        return replace(self, **changes)
