"""Unwrapping methods on fields with many wraps, noise around the object, and several echoes."""

import sys

import numpy as np
import pytest

from ferritin import registry
from ferritin.errors import InputError, ParameterError
from ferritin.field import best_path, laplacian, least_squares, linear, temporal
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


def congruent(phase, s):
    return np.abs(np.angle(np.exp(1j * phase) * s.echoes.conj()))[:, s.mask].max() < 1e-3


@pytest.mark.parametrize("individual", [False, True])
def test_best_path_is_right_and_congruent(individual):
    s = synthetic(peak_hz=60.0)
    phase, _ = best_path(s.echoes, s.mask, s.scan, individual=individual)
    assert phase.dtype == np.float32
    assert congruent(phase, s)
    assert not phase[:, ~s.mask].any()
    if individual:
        for e, t in enumerate(s.scan.te_s):
            turns = np.rint((phase[e] - s.offset - 2 * np.pi * t * s.field_hz)[s.mask] / (2 * np.pi))
            assert (turns == np.median(turns)).mean() > 0.999
    else:
        assert wraps_wrong(phase, s) == 0


def test_best_path_agrees_with_the_weighted_solution_on_many_wraps():
    s = synthetic(peak_hz=250.0)
    ours, theirs = (f(s.echoes, s.mask, s.scan).unwrapped_phase for f in (least_squares, best_path))
    growth = (ours[1] - ours[0] - theirs[1] + theirs[0])[s.mask]
    assert np.ptp(np.rint(growth / (2 * np.pi))) == 0


def test_best_path_unwraps_one_echo_and_one_slice():
    s = synthetic(te_ms=(20.0,), peak_hz=60.0)
    cut = np.s_[..., 10:11]
    echoes, mask = np.ascontiguousarray(s.echoes[cut]), np.ascontiguousarray(s.mask[cut])
    phase = best_path(echoes, mask, s.scan.replace(shape=mask.shape)).unwrapped_phase
    turns = np.rint(((phase[0] - (s.offset + 2 * np.pi * 0.02 * s.field_hz)[cut]) / (2 * np.pi))[mask])
    assert (turns == np.median(turns)).all()


def test_best_path_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    s = synthetic()
    with pytest.raises(ParameterError, match="pip install scikit-image"):
        best_path(s.echoes, s.mask, s.scan)


def test_temporal_is_right_within_its_limit(xp, to_xp, to_np):
    s = synthetic(peak_hz=40.0, snr=200)
    phase, record = temporal(to_xp(s.echoes), to_xp(s.mask), s.scan)
    phase = to_np(phase)
    assert congruent(phase, s)
    te = np.reshape(s.scan.te_s, (-1, 1, 1, 1))
    expected = 2 * np.pi * s.field_hz * (te - te[0])
    assert np.abs((phase - phase[0] - expected)[:, s.mask]).max() < 0.3
    assert record.notes == ()


def test_temporal_takes_the_closest_pair_and_tells_of_its_limit():
    s = synthetic(te_ms=(4.0, 14.0, 17.0, 30.0), peak_hz=140.0, snr=2000)  # 3 ms: within 167 Hz
    phase = temporal(s.echoes, s.mask, s.scan).unwrapped_phase
    te = np.reshape(s.scan.te_s, (-1, 1, 1, 1))
    assert np.abs((phase - phase[0] - 2 * np.pi * s.field_hz * (te - te[0]))[:, s.mask]).max() < 0.1
    beyond = synthetic(te_ms=(4.0, 12.0), peak_hz=140.0)
    assert "of the limit of 62.5 Hz" in temporal(beyond.echoes, beyond.mask, beyond.scan).record.notes[0]


def test_temporal_needs_two_echoes_and_voxels():
    s = synthetic(te_ms=(4.0,))
    with pytest.raises(InputError, match="two echoes, got one"):
        temporal(s.echoes, s.mask, s.scan)
    s = synthetic()
    with pytest.raises(InputError, match="mask is empty"):
        temporal(s.echoes, np.zeros_like(s.mask), s.scan)


def test_none_is_the_phase_itself_and_counts_jumps(xp, to_xp, to_np):
    s = synthetic(te_ms=(1.0, 2.0), peak_hz=50.0)
    phase, record = registry.find("unwrap", "none")(to_xp(s.echoes), to_xp(s.mask), s.scan)
    np.testing.assert_allclose(to_np(phase), np.angle(s.echoes) * s.mask, atol=1e-5)
    assert record.notes == ()
    jump = np.exp(1j * np.where(np.arange(24) < 12, 3.0, -3.0))[:, None, None] * np.ones((1, 24, 30, 20))
    told = registry.find("unwrap", "none")(jump.astype(np.complex64), np.ones((24, 30, 20), bool), None).record.notes
    assert told[0].startswith("600 pairs of neighbours differ by more than")
