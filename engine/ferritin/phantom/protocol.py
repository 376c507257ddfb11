"""What is scanned and how: the options of a simulated multi-echo gradient-echo scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

from ferritin.errors import ParameterError


@dataclass(frozen=True)
class Protocol:
    """A multi-echo 3-D gradient echo.

    Attributes
    ----------
    voxel_mm : three float [mm]
    te_ms : echo times [ms]; tr_ms [ms]; flip_deg [degrees]; b0_t [T]
    coils : int
        Receive channels of the raw file.
    snr : float
        Largest signal of the first echo in the brain over the noise sd per real and imaginary part, coils combined.
    tilt_deg : float [degrees]
        Slab turned about the patient's x axis.
    bipolar : bool
        Even echoes are read backwards, with a phase of their own along the readout.
    partial_fourier : float
        Share of k-space along z that is measured.
    elliptical : bool
        Corners of the ky-kz plane are left out.
    accel : two int
        Regular undersampling along y and z around 24 full calibration lines.
    fine_mm : float, optional [mm]
        Cells that the head and its field are made of; half a voxel, or 1/1.6 of it below 1.3 mm, when not given.
    """

    voxel_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)
    te_ms: tuple[float, ...] = (4.0, 12.0, 20.0, 28.0)
    tr_ms: float = 50.0
    flip_deg: float = 15.0
    b0_t: float = 7.0
    coils: int = 4
    snr: float = 60.0
    tilt_deg: float = 0.0
    bipolar: bool = False
    partial_fourier: float = 1.0
    elliptical: bool = False
    accel: tuple[int, int] = (1, 1)
    fine_mm: float | None = None

    def __post_init__(self) -> None:
        te = self.te_ms
        if not te or te[0] <= 0 or any(b <= a for a, b in pairwise(te)) or te[-1] >= self.tr_ms:
            raise ParameterError(f"echo times {list(te)} ms; expected positive, increasing, below TR {self.tr_ms} ms")
        for name, low, high in (("coils", 1, 256), ("b0_t", 0.2, 15), ("flip_deg", 0.1, 180)):
            if not low <= getattr(self, name) <= high:
                raise ParameterError(f"{name} = {getattr(self, name)}; expected {low} to {high}")
        if not self.snr > 0:
            raise ParameterError(f"snr = {self.snr}; expected a positive number")

    @property
    def cell_mm(self) -> float:
        """Cells of the fine grid."""
        voxel = min(self.voxel_mm)
        return self.fine_mm or voxel / (2 if voxel > 1.3 else 1.6)

    def as_dict(self) -> dict:
        """JSON-ready."""
        return asdict(self)
