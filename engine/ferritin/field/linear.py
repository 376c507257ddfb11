"""Field from unwrapped phase: weighted linear regression over the echoes, with an offset, and its noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import chdtri

from ferritin.backend import namespace
from ferritin.errors import InputError
from ferritin.registry import method
from ferritin.stages import Record, TotalField
from ferritin_kernels import phase_line

_TWO_PI = 2 * math.pi


@method("field", source="weighted least squares; variance of phase: Conturo & Smith, MRM 1990;15:420")
def linear(echoes, unwrapped_phase, mask, scan, noise_sd=None) -> TotalField:
    """Fit φ = φ0 + 2π f TE with weights |S|².

    The offset φ0 is free in every voxel, so coil and transmit phases need not have been removed.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    unwrapped_phase : (echo, x, y, z) float32 [rad]
    mask : (x, y, z) bool
    scan : Scan
    noise_sd : float, optional
        Of the real and of the imaginary part of the echoes. When not given it is taken from the residuals inside the
        mask, which needs three echoes.

    Returns
    -------
    TotalField
        total_field [Hz], 0 outside the mask; field_noise [Hz] = noise_sd / (2π sqrt(Σ |S|² (TE - mean TE)²)), infinite
        where no voxel of two echoes has signal, 0 outside the mask.

    Raises
    ------
    InputError
        Fewer than two echoes, or two echoes and no noise level.
    """
    if len(echoes) < 2:
        raise InputError("a field needs two echoes, got one; only the magnitude can be mapped")
    xp = namespace(echoes)
    line = phase_line(echoes, unwrapped_phase, scan.te_s, offset=noise_sd is None)
    valid = mask & xp.isfinite(line.field_error)
    notes = ()
    if len(set(scan.polarity)) == 2:
        notes = (
            "the readout polarity alternates and this fit does not know the phase of the reversed echoes; "
            "use --set field.method=complexfit --set field.bipolar=true",
        )
    if noise_sd is None:
        noise_sd = _residual_sd(echoes, unwrapped_phase, line, valid, scan.te_s)
        notes = (*notes, f"noise sd {noise_sd:.3g} taken from the residuals of the field fit")
    field, noise, _ = line  # ours to write into
    noise *= np.float32(noise_sd)
    noise[~valid] = np.float32(math.inf)
    noise[~mask] = 0
    field[~valid] = 0
    return TotalField(field, noise, Record(notes=notes))


def _residual_sd(echoes: Any, phase: Any, line: Any, valid: Any, te_s: tuple[float, ...]) -> float:
    """Noise sd from the median over the mask of Σ |S|² (residual phase)², a chi-square of n - 2 degrees of freedom."""
    xp = namespace(echoes)
    if len(echoes) < 3 or not bool(valid.any()):
        raise InputError("noise sd is not known and two echoes leave no residual; give noise_sd")
    total = xp.zeros(valid.shape, np.float32)
    for echo, p, te in zip(echoes, phase, te_s):
        residual = p - line.offset
        residual -= line.field * np.float32(_TWO_PI * te)
        residual *= xp.abs(echo)
        total += residual**2
    return math.sqrt(float(xp.median(total[valid])) / float(chdtri(len(echoes) - 2, 0.5)))
