"""Homodyne filter: the phase of each echo against its own low-pass; no unwrapping. For pictures, not for chi."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np

from ferritin.backend import fftn, ifftn, namespace
from ferritin.errors import ParameterError
from ferritin.registry import method
from ferritin.stages import LocalField


@method("background", source="Noll DC, et al. IEEE TMI 1991;10:154; Haacke EM, et al. MRM 2004;52:612")
def homodyne(
    echoes: Any, mask: Any, scan: Any, *, window: Annotated[float, "share of the matrix"] = 0.125
) -> LocalField:
    """arg(S/LP(S))/(2π TE), averaged over the echoes by the variance of each; LP is a Hann window in k-space, in plane.

    It removes structures wider than about 1/window voxels with the background.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64 [arbitrary]
    mask : (x, y, z) bool
    window : full width of the window over the first two axes, as a share of the matrix.
    """
    if not 0 < window <= 1:
        raise ParameterError(f"homodyne window = {window}, expected in (0, 1]; the default is 0.125")
    xp = namespace(echoes)
    hann = [_hann(xp, n, window * n) for n in echoes.shape[1:3]]
    filter_ = hann[0][:, None, None] * hann[1][None, :, None]
    total, weight = xp.zeros(mask.shape, np.float32), xp.zeros(mask.shape, np.float32)
    for te, echo in zip(scan.te_s, echoes):
        spectrum = fftn(echo, axes=(0, 1))
        spectrum *= filter_
        smooth = ifftn(spectrum, axes=(0, 1), overwrite_x=True)
        w = (echo * xp.conj(echo)).real * np.float32(te**2)
        total += w * xp.angle(echo * xp.conj(smooth)) / np.float32(2 * math.pi * te)
        weight += w
    local = total / xp.maximum(weight, np.float32(1e-30)) * mask
    return LocalField(local.astype(np.float32, copy=False), mask.copy())


def _hann(xp: Any, n: int, width: float) -> Any:
    """Hann window of full width `width` samples around frequency 0, in FFT order."""
    index = xp.arange(n, dtype=np.float32)
    index = xp.minimum(index, n - index)
    return xp.where(index < width / 2, np.float32(0.5) + np.float32(0.5) * xp.cos(2 * np.pi * index / width), 0).astype(
        np.float32
    )
