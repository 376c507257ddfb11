"""The complex fit as a method of the stage `field`."""

import numpy as np
import pytest

from ferritin.field import complexfit
from ferritin.scan import Scan

TE = (0.004, 0.009, 0.014, 0.019, 0.024)


def scan_of(shape, **more):
    return Scan(te_s=TE, b0_t=3.0, affine=np.eye(4), shape=shape, **more)


def decays(shape, sd, bipolar=0.0):
    rng = np.random.default_rng(0)
    field = rng.uniform(-150, 150, shape)
    t = np.reshape(TE, (-1, 1, 1, 1))
    odd = bipolar * np.reshape((1, -1, 1, -1, 1), (-1, 1, 1, 1))
    phase = 0.3 + 2 * np.pi * field * t + odd
    echoes = 100 * np.exp(-30 * t + 1j * phase)
    echoes += sd * (rng.standard_normal(echoes.shape) + 1j * rng.standard_normal(echoes.shape))
    return echoes.astype(np.complex64), (phase + np.angle(echoes * np.exp(-1j * phase))).astype(np.float32), field


def test_field_and_its_noise_in_every_namespace(xp, to_xp, to_np):
    shape = (20, 10, 10)
    echoes, unwrapped, field = decays(shape, 2.0)
    mask = np.ones(shape, bool)
    mask[0] = False
    result = complexfit(to_xp(echoes), to_xp(unwrapped), to_xp(mask), scan_of(shape), 2.0)
    total, noise = to_np(result.total_field), to_np(result.field_noise)
    assert np.all(total[0] == 0)
    assert np.std(((total - field) / np.where(mask, noise, 1))[mask]) == pytest.approx(1, abs=0.06)
    assert total.dtype == noise.dtype == np.float32
    assert result.record.stopped_by == "tolerance"


def test_bipolar_readout_is_fitted_when_asked():
    shape = (6, 5, 4)
    echoes, unwrapped, field = decays(shape, 0, bipolar=0.5)
    mask, scan = np.ones(shape, bool), scan_of(shape, polarity=(1, -1, 1, -1, 1))
    plain = complexfit(echoes, unwrapped, mask, scan)
    fitted = complexfit(echoes, unwrapped, mask, scan, bipolar=True)
    assert np.abs(plain.total_field - field).max() > 0.1
    np.testing.assert_allclose(fitted.total_field, field, atol=2e-3)


def test_what_could_not_be_fitted_is_noted():
    shape = (4, 4, 4)
    echoes, unwrapped, _ = decays(shape, 1.0)
    echoes[:, 0, 0, :2] = 0
    result = complexfit(echoes, unwrapped, np.ones(shape, bool), scan_of(shape))
    assert any("2 of 64 voxels" in note for note in result.record.notes)
    assert any("residual" in note for note in result.record.notes)
