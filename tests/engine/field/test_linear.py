"""The linear field fit: exact on exact phase, noise as the formula says, offsets free."""

import numpy as np
import pytest

from ferritin.errors import InputError
from ferritin.field import linear
from synthetic import synthetic


def phases(s):
    te = np.asarray(s.scan.te_s)[:, None, None, None]
    truth = s.offset + 2 * np.pi * s.field_hz * te
    measured = np.angle(s.echoes * np.exp(-1j * truth)) + truth
    return truth.astype(np.float32), measured.astype(np.float32)


@pytest.mark.parametrize("te_ms", [(4, 12, 20, 28), (3, 6, 9, 12, 15), (5, 7)])
def test_exact_phase_gives_the_exact_field(xp, to_xp, to_np, te_ms):
    s = synthetic(te_ms=te_ms)
    field, noise, *_ = linear(to_xp(s.echoes), to_xp(phases(s)[0]), to_xp(s.mask), s.scan, 1.0)
    field, noise = to_np(field), to_np(noise)
    assert field.dtype == noise.dtype == np.float32
    assert np.abs(field - s.field_hz)[s.mask].max() < 0.01
    assert not field[~s.mask].any()
    assert not noise[~s.mask].any()


def test_noise_is_calibrated(xp, to_xp, to_np):
    s = synthetic(seed=4)
    field, noise, *_ = linear(to_xp(s.echoes), to_xp(phases(s)[1]), to_xp(s.mask), s.scan, 1.0)
    z = (to_np(field) - s.field_hz)[s.mask] / to_np(noise)[s.mask]
    assert z.std() == pytest.approx(1, abs=0.04)
    # the formula itself, written out
    te, w = np.asarray(s.scan.te_s), (np.abs(s.echoes) ** 2)[:, 12, 15, 10]
    mean = (w * te).sum() / w.sum()
    expected = 1 / (2 * np.pi * np.sqrt((w * (te - mean) ** 2).sum()))
    assert to_np(noise)[12, 15, 10] == pytest.approx(expected, rel=1e-4)


def test_noise_level_is_found_in_the_residuals():
    s = synthetic(seed=5)
    known = linear(s.echoes, phases(s)[1], s.mask, s.scan, 1.0)
    found = linear(s.echoes, phases(s)[1], s.mask, s.scan)
    assert np.median(found.field_noise[s.mask] / known.field_noise[s.mask]) == pytest.approx(1, abs=0.04)
    assert "residuals" in found.record.notes[0]


def test_voxels_without_signal_have_no_field_and_infinite_noise():
    s = synthetic()
    s.echoes[:, 12, 15, 10] = 0
    field, noise, *_ = linear(s.echoes, phases(s)[0], s.mask, s.scan, 1.0)
    assert field[12, 15, 10] == 0
    assert noise[12, 15, 10] == np.inf


def test_echoes_are_not_copied_and_not_changed():
    import tracemalloc

    s = synthetic(shape=(40, 40, 40), te_ms=(4, 8, 12, 16, 20, 24, 28, 32))
    before, phase = s.echoes.copy(), phases(s)[0]
    tracemalloc.start()
    linear(s.echoes, phase, s.mask, s.scan, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (s.echoes == before).all()
    assert peak < 12 * 4 * 40**3  # volumes, outputs among them: fewer than the echoes have


def test_too_few_echoes_are_an_error():
    s = synthetic(te_ms=(4,))
    with pytest.raises(InputError, match="two echoes, got one"):
        linear(s.echoes, phases(s)[0], s.mask, s.scan, 1.0)
    s = synthetic(te_ms=(4, 8))
    with pytest.raises(InputError, match="give noise_sd"):
        linear(s.echoes, phases(s)[0], s.mask, s.scan)


def test_alternating_readouts_are_pointed_out():
    s = synthetic()
    phase = phases(s)[0]
    assert not linear(s.echoes, phase, s.mask, s.scan, 1.0).record.notes
    alternating = s.scan.replace(polarity=tuple((1, -1)[i % 2] for i in range(s.scan.n_echoes)))
    assert "complexfit" in linear(s.echoes, phase, s.mask, alternating, 1.0).record.notes[0]
