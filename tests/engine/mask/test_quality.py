"""Phase quality keeps what has coherent phase, dark or bright, and drops noise; decay and misfit trim the rim."""

import numpy as np
import pytest

from ferritin.errors import InputError
from ferritin.mask import decay, misfit, quality
from ferritin.scan import Scan

SHAPE = (40, 36, 32)
TE = (0.004, 0.008, 0.012, 0.016)
SCAN = Scan(TE, 7.0, np.diag([2.0, 2.0, 2.0, 1.0]), SHAPE)


def ball(radius, centre=(20, 18, 16)):
    grid = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    return sum((g - c) ** 2 for g, c in zip(grid, centre)) < radius**2


def field_hz():
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE), indexing="ij")
    return 40 * (x * y + z)


def echoes(amplitude, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    te = np.reshape(TE, (-1, 1, 1, 1))
    signal = amplitude * np.exp(2j * np.pi * field_hz() * te)
    return (signal + noise * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))).astype(np.complex64)


def test_quality_keeps_dark_tissue_and_drops_noise(xp, to_xp, to_np):
    inside = ball(13)
    amplitude = 60.0 * inside - 45.0 * ball(4, (24, 18, 16))
    mask = to_np(quality(to_xp(echoes(amplitude)), SCAN).mask)
    assert mask[ball(11)].all()
    assert mask[~ball(15)].mean() < 1e-3


def test_quality_of_one_echo():
    mask = quality(echoes(60.0 * ball(13))[:1], SCAN.replace(te_s=TE[:1], polarity=())).mask
    assert mask[ball(11)].all()
    assert mask[~ball(15)].mean() < 0.02


def test_holes_stay_when_they_are_not_filled():
    amplitude = 60.0 * ball(13) * ~ball(4)
    filled, open_ = (quality(echoes(amplitude), SCAN, fill=f).mask for f in (True, False))
    assert filled[ball(3)].all()
    assert not open_[ball(2)].any()


def test_decay_trims_dephased_voxels_at_the_rim_alone(xp, to_xp, to_np):
    mask, spot = ball(13), ball(4, (31, 18, 16))
    r2star = np.where(spot | ball(2), 400, 40).astype(np.float32)
    r2star[20, 30, 16] = np.nan
    left = to_np(decay(to_xp(r2star), to_xp(mask), SCAN).mask)
    assert not left[spot].any()
    assert left[ball(3)].all()
    assert not left[20, 30, 16]
    assert (mask & ~left & ~ball(6, (31, 18, 16))).sum() < 0.01 * mask.sum()


def test_decay_needs_a_field_strength_and_a_voxel_below_the_limit():
    with pytest.raises(InputError, match="--b0"):
        decay(np.zeros(SHAPE, np.float32), ball(5), SCAN.replace(b0_t=None))
    with pytest.raises(InputError, match="R2\\* below 210"):
        decay(np.full(SHAPE, 1e4, np.float32), ball(5), SCAN)


def test_misfit_trims_what_has_no_single_frequency(xp, to_xp, to_np):
    mask, spot = ball(13), ball(4, (31, 18, 16))
    data = echoes(np.full(SHAPE, 60.0))
    data[:, spot] *= np.exp(1j * np.reshape([0, 1.2, -1.1, 0.4], (-1, 1)))
    left = to_np(misfit(to_xp(data), to_xp(field_hz()), to_xp(mask), SCAN).mask)
    assert (left & spot).sum() < 0.05 * (mask & spot).sum()
    assert (mask & ~left & ~spot).sum() < 0.03 * mask.sum()


def test_the_misfit_is_the_noise_over_the_signal():
    from ferritin.mask.misfit import _residual

    data = echoes(np.full(SHAPE, 50.0), noise=1.0, seed=3)
    expected = np.sqrt(3 / 4) / 50  # four phases, one of whose degrees of freedom the offset takes
    assert np.sqrt((_residual(data, field_hz(), TE) ** 2).mean()) == pytest.approx(expected, rel=0.03)


def test_misfit_needs_three_echoes():
    with pytest.raises(InputError, match="three echoes, got 2"):
        misfit(echoes(np.ones(SHAPE))[:2], field_hz(), ball(5), SCAN.replace(te_s=TE[:2], polarity=()))
