"""What tissues are made of: susceptibility, relaxation rates and proton density at 3 T and 7 T.

Susceptibility (paramagnetic and diamagnetic parts) and its slopes on R1 and R2*: Marques JP et al., Magn Reson Med
2021;86:526, as tabled for source separation by Ridani D et al. R2* and T1: middle of the ranges in the literature;
R2 at 7 T from the same phantoms, 0.65 of it at 3 T. Rates between the fields are interpolated on a line, and go on
along it outside, but never below a quarter of the value at 3 T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """One row of the table.

    label : number in the label map (QSM Challenge 2.0). chi_plus, chi_minus [ppm]. r2star, r2, r1 : (3 T, 7 T) [1/s].
    m0 : proton density, CSF = 1. texture : whether values vary inside. slopes : of chi_plus on R1 and R2*, of chi_minus
    on R1 and R2* [ppm s].
    """

    name: str
    label: int
    chi_plus: float
    chi_minus: float
    r2star: tuple[float, float]
    r2_7t: float
    t1_s: tuple[float, float]
    m0: float
    texture: bool = True
    slopes: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


AIR_PPM = 9.2

TISSUES = (
    Tissue("outside", 0, AIR_PPM, 0, (0, 0), 0, (1, 1), 0.0, False),
    Tissue("caudate", 1, 0.05265, -0.00865, (24, 50), 17.5, (1.35, 1.75), 0.81, True, (-0.0119, 0.0011, -0.0119, 0)),
    Tissue("globus_pallidus", 2, 0.143723, -0.013223, (42, 92), 24.4, (1.0, 1.35), 0.78, True,
           (-0.0257, 0.00084, -0.0257, 0)),
    Tissue("putamen", 3, 0.047061, -0.009061, (27, 58), 20.0, (1.25, 1.7), 0.80, True, (-0.0249, 0.0019, 0.0249, 0)),
    Tissue("red_nucleus", 4, 0.110906, -0.010906, (35, 70), 22.7, (1.05, 1.4), 0.78, True,
           (-0.0444, 0.00178, -0.0444, 0.00178)),
    Tissue("dentate", 5, 0.168412, -0.016412, (33, 66), 13.9, (1.1, 1.5), 0.78, True,
           (-0.0639, 0.0017, -0.0639, 0.0017)),
    Tissue("substantia_nigra", 6, 0.122434, -0.011434, (38, 80), 21.3, (1.05, 1.4), 0.77, True,
           (-0.075, 0.00149, -0.075, 0.00149)),
    Tissue("subthalamic_nucleus", 6, 0.105, -0.011434, (35, 72), 21.0, (1.05, 1.4), 0.77, True,
           (-0.075, 0.00149, -0.075, 0.00149)),
    Tissue("thalamus", 7, 0.050904, -0.030904, (21, 41), 17.5, (1.1, 1.6), 0.80, True,
           (-0.0862, 0.00127, -0.0862, 0.00127)),
    Tissue("white_matter", 8, 0.0059, -0.0359, (22, 43), 21.7, (0.85, 1.2), 0.70, True, (-0.078, 0, -0.078, 0.0011)),
    Tissue("grey_matter", 9, 0.039182, -0.019182, (16, 32), 11.8, (1.35, 1.9), 0.82, True,
           (-0.0948, 0.0014, -0.0948, 0.0014)),
    Tissue("csf", 10, 0.027512, -0.008512, (2, 4), 1.0, (4.0, 4.3), 1.0, False),
    Tissue("vein", 11, 0.19, 0.0, (50, 140), 30.0, (1.65, 2.1), 0.85, True),
    Tissue("fat", 12, 0.038, -0.019, (35, 60), 15.0, (0.37, 0.45), 0.75, True),
    Tissue("bone", 13, 0.0, -2.1, (500, 700), 600.0, (0.5, 0.6), 0.05, True),
    Tissue("marrow", 12, 0.0, -0.2, (120, 220), 20.0, (0.5, 0.6), 0.45, True),
    Tissue("air", 14, AIR_PPM, 0, (0, 0), 0, (1, 1), 0.0, False),
    Tissue("muscle_skin", 15, 0.0, 0.0, (32, 55), 33.0, (1.4, 1.9), 0.60, True),
    Tissue("calcification", 16, 0.0, -1.5, (90, 140), 25.0, (1.2, 1.5), 0.50, True),
    Tissue("haemorrhage", 17, 0.9, 0.0, (120, 260), 40.0, (1.0, 1.3), 0.60, True),
)  # fmt: skip

CODE = {tissue.name: code for code, tissue in enumerate(TISSUES)}
"""Row number by name."""


LABEL_NAMES = {t.label: t.name for t in reversed(TISSUES)}
"""Names of the numbers in the label map: the first tissue that has each."""


def column(name: str) -> np.ndarray:
    """One property of every tissue, in the order of their codes, float32."""
    return np.array([getattr(t, name) for t in TISSUES], np.float32)


def rates(b0_t: float) -> dict[str, np.ndarray]:
    """R2*, R2 and R1 [1/s] of every tissue at a field strength, float32."""

    def between(low, high):
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        return np.maximum(low + (high - low) * (b0_t - 3) / 4, low / 4).astype(np.float32)

    r2_7t = [t.r2_7t for t in TISSUES]
    return {
        "r2star": between(*zip(*(t.r2star for t in TISSUES))),
        "r2": between([0.65 * r for r in r2_7t], r2_7t),
        "r1": between(*zip(*((1 / t.t1_s[0], 1 / t.t1_s[1]) for t in TISSUES))),
    }
