"""Best-path unwrapping, by scikit-image's program."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ferritin.errors import InputError, ParameterError
from ferritin.field._in_time import followed
from ferritin.registry import method
from ferritin.stages import Record, UnwrappedPhase


@method("unwrap", host=True, source="Abdul-Rahman et al., Appl Opt 2007;46:6623; skimage.restoration.unwrap_phase")
def best_path(
    echoes: Any,
    mask: Any,
    scan: Any,
    *,
    individual: bool = False,
    seed: Annotated[int, ""] = 0,
) -> UnwrappedPhase:
    """Unwrap along the most reliable edges first, reliability being small second differences. Works on the host.

    The phase that grows from echo 1 to echo 2 is unwrapped in space; every echo takes the turn nearest to where that
    growth leads it. With `individual`, or one echo, every echo is unwrapped in space by itself.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    mask : (x, y, z) bool
    scan : Scan
    individual : unwrap every echo in space.
    seed : of the random order in which scikit-image treats edges of the same reliability.

    Returns
    -------
    UnwrappedPhase
        [rad], congruent to the measured phase; 0 outside the mask. Unconnected pieces may differ by whole turns.

    Raises
    ------
    InputError
        The mask is empty.
    ParameterError
        scikit-image is not installed.
    """
    if not mask.any():
        raise InputError("the mask is empty, expected at least one voxel; give a mask with --mask")
    if individual or len(echoes) == 1:
        out = np.zeros(echoes.shape, np.float32)
        for phase, echo in zip(out, echoes):
            phase[...] = _in_space(np.angle(echo), mask, seed)
        return UnwrappedPhase(out, Record())
    te = scan.te_s
    rate = _in_space(np.angle(echoes[1] * echoes[0].conj()), mask, seed)
    rate *= np.float32(1 / (te[1] - te[0]))
    return UnwrappedPhase(followed(echoes, rate, te, mask), Record())


def _in_space(phase: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """Unwrapped phase, 0 outside the mask; the median turn is taken off."""
    try:
        from skimage.restoration import unwrap_phase
    except ImportError:
        raise ParameterError(
            "unwrap.method = best_path needs scikit-image, which is not installed: pip install scikit-image, "
            "or choose --set unwrap.method=romeo"
        ) from None
    thin = tuple(axis for axis, n in enumerate(phase.shape) if n == 1)
    wrapped = np.ma.masked_array(np.nan_to_num(phase).squeeze(thin), ~mask.squeeze(thin))
    out = np.asarray(unwrap_phase(wrapped, rng=seed).filled(0), np.float32).reshape(phase.shape)
    out -= np.float32(2 * np.pi) * np.rint(np.median(out[mask]) / np.float32(2 * np.pi))
    out *= mask
    return out
