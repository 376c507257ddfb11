"""Whitening against its definition: covariance 2 I on imaging noise, 2 s I on the noise scan itself."""

import numpy as np
import pytest

import mrd
from ferritin.kspace.prewhiten import Covariance, whitening


def covariance(n_coils, seed=0):
    mix = np.eye(n_coils) + 0.3 * mrd.random_images((n_coils, n_coils), seed)
    return mix @ mix.conj().T


@pytest.mark.parametrize("scale", [1.0, 0.5 * 0.793])
def test_noise_scan_gets_covariance_two_times_the_scale(scale):
    psi = covariance(5)
    noise = mrd.white_noise(psi, 4000, np.random.default_rng(1))
    gathered = Covariance(5)
    for block in np.split(noise, 8, axis=1):
        gathered.add(block[None].astype(np.complex64))
    np.testing.assert_allclose(gathered.value(), psi, atol=1e-5)
    w, notes = whitening(gathered.value(), gathered.n_samples, scale)
    assert w.dtype == np.complex64
    assert notes == ()
    np.testing.assert_allclose(w @ psi @ w.conj().T, 2 * scale * np.eye(5), atol=1e-5)


def test_dead_channel_is_left_out_and_said():
    psi = covariance(4)
    psi[2, :], psi[:, 2] = 0, 0
    w, notes = whitening(psi, 4000)
    assert "channels [2]" in notes[0]
    alive = [0, 1, 3]
    np.testing.assert_array_equal(w[2], 0)
    np.testing.assert_allclose((w @ psi @ w.conj().T)[np.ix_(alive, alive)], 2 * np.eye(3), atol=1e-5)


def test_few_samples_still_give_a_matrix():
    noise = mrd.random_images((1, 8, 6))  # six samples for eight channels: the covariance is singular
    gathered = Covariance(8)
    gathered.add(noise)
    w, notes = whitening(gathered.value(), gathered.n_samples)
    assert np.isfinite(w).all()
    assert "6 noise samples for 8 channels" in notes[0]


def test_twin_channels_and_zeros_still_give_a_matrix():
    psi = np.ones((2, 2), complex)
    w, notes = whitening(psi, 4000)
    assert np.isfinite(w).all()
    assert "the same" in notes[0]
    w, notes = whitening(np.zeros((2, 2), complex), 4000)
    np.testing.assert_array_equal(w, np.eye(2))
    assert "not whitened" in notes[0]
