"""Unwrapping methods on fields with many wraps, noise around the object, and several echoes."""

import numpy as np
import pytest

from ferritin.errors import InputError
from ferritin.field import laplacian, least_squares, linear
from synthetic import synthetic


def wraps_wrong(unwrapped, s):
    """Share of the mask whose echo-to-echo growth misses the truth by half a turn or more, after one constant."""
    te = s.scan.te_s
    growth = unwrapped[1] - unwrapped[0] - 2 * np.pi * s.field_hz * (te[1] - te[0])
    turns = np.rint(growth[s.mask] / (2 * np.pi))
    return (turns != np.median(turns)).mean()


def test_least_squares_is_right_and_congruent(xp, to_xp, to_np):
    s = synthetic(peak_hz=250.0)
    phase = to_np(least_squares(to_xp(s.echoes), to_xp(s.mask), s.scan).unwrapped_phase)
    assert phase.dtype == np.float32
    assert wraps_wrong(phase, s) == 0
    assert np.abs(np.angle(np.exp(1j * phase) * s.echoes.conj()))[:, s.mask].max() < 1e-3
    assert not phase[:, ~s.mask].any()
    field = linear(s.echoes, phase, s.mask, s.scan, 1.0).total_field
    error = (field - s.field_hz)[s.mask]
    assert np.abs(error - np.median(error)).max() < 10  # a wrong wrap would be 125 Hz


def test_least_squares_unwraps_one_echo_in_space():
    s = synthetic(te_ms=(20.0,), peak_hz=100.0)
    phase = least_squares(s.echoes, s.mask, s.scan).unwrapped_phase
    turns = np.rint((phase[0] - s.offset - 2 * np.pi * 0.02 * s.field_hz)[s.mask] / (2 * np.pi))
    assert (turns == np.median(turns)).all()


def test_least_squares_needs_a_mask_with_voxels():
    s = synthetic()
    with pytest.raises(InputError, match="mask is empty"):
        least_squares(s.echoes, np.zeros_like(s.mask), s.scan)


@pytest.mark.parametrize(("kernel", "tolerance"), [("discrete", 0.02), ("continuous", 0.3)])
def test_laplacian_integrates_a_smooth_phase(xp, to_xp, to_np, kernel, tolerance):
    shape = (32, 28, 24)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    truth = (9 * np.cos(np.pi * (x + 1) / 2) + 6 * np.cos(np.pi * (y + 1)) * np.cos(np.pi * (z + 1) / 2))[None]
    s = synthetic(shape=shape, te_ms=(4.0,))
    phase = laplacian(to_xp(np.exp(1j * truth).astype(np.complex64)), s.scan, kernel=kernel).unwrapped_phase
    error = (to_np(phase) - truth)[:, 3:-3, 3:-3, 3:-3]
    assert np.abs(error - error.mean()).max() < tolerance


def test_laplacian_survives_nan():
    s = synthetic()
    s.echoes[:, 0, 0, 0] = np.nan
    assert np.isfinite(laplacian(s.echoes, s.scan).unwrapped_phase).all()
