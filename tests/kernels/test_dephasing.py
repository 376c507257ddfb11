"""The loss to a gradient across the voxel: its forms against sums over spins, and R2* corrected for it."""

import numpy as np
import pytest

import ferritin_kernels
from ferritin_kernels.meaning import dephasing as meaning

TE = np.array((0.005, 0.010, 0.015, 0.020, 0.025, 0.030))


def decay(profile, across, rate=25.0):
    """Magnitudes of a slab whose field rises by `across` [Hz] a voxel along the last axis; sums over spins."""
    f = meaning.factor(profile, across * TE)
    return (100 * np.exp(-rate * TE) * f)[:, None, None, None] * np.ones((1, 4, 4, 8))


@pytest.mark.parametrize("profile", ["box", "pulse", "gaussian"])
@pytest.mark.parametrize("across", [0.0, 0.3, 8.515, 20.0])
def test_r2star_is_right_for_every_profile(level, profile, across):
    """8.515 Hz: 100 µT/m through a slice of 2 mm. Within 3 % (here 0.2 %), where the plain fit is wrong."""
    echoes = decay(profile, across).astype(np.float32)
    field = np.broadcast_to(across * np.arange(8, dtype=np.float32), echoes.shape[1:]).copy()
    gradient = ferritin_kernels.Gradient(field, ("none", "none", profile))
    corrected = ferritin_kernels.monoexp(echoes, TE, gradient=gradient)
    np.testing.assert_allclose(corrected.rate, 25, rtol=2e-3)
    phase = 2 * np.pi * TE[:, None, None, None] * field
    complex_echoes = (echoes * np.exp(1j * phase)).astype(np.complex64)
    both = ferritin_kernels.complexfit(complex_echoes, TE, None, phase.astype(np.float32), gradient=gradient)
    np.testing.assert_allclose(both.rate, 25, rtol=2e-3)
    np.testing.assert_allclose(both.field, field, atol=1e-2)
    plain = ferritin_kernels.monoexp(echoes, TE)
    assert np.all(abs(plain.rate - 25) > 1.5) or across < 1


def test_every_noise_model_takes_the_option():
    rng = np.random.default_rng(0)
    clean = np.tile(decay("box", 10.0), (1, 10, 10, 10))
    field = np.broadcast_to(10 * np.arange(80, dtype=np.float32), clean.shape[1:]).copy()
    noisy = clean + rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape)
    for model in ("plain", "second", "first", "floor"):
        gradient = ferritin_kernels.Gradient(field)
        fit = ferritin_kernels.monoexp(noisy.astype(np.complex64), TE, model=model, noise_sd=1.0, gradient=gradient)
        assert np.median(fit.rate) == pytest.approx(25, rel=0.03)
        assert np.std((fit.rate - 25) / fit.error) == pytest.approx(1, abs=0.1 if model != "floor" else 0.4)


def test_differences_stay_inside_the_mask(level):
    """A field that jumps outside the mask does not reach the fit; the factor follows the meaning's difference."""
    rng = np.random.default_rng(1)
    field = rng.uniform(-12, 12, (7, 6, 5)).astype(np.float32)
    mask = rng.random(field.shape) > 0.3
    across = [meaning.difference(field, mask, axis) for axis in range(3)]
    loss = np.prod([meaning.factor("box", np.multiply.outer(TE, a)) for a in across], axis=0)
    echoes = (100 * np.exp(-40 * TE)[:, None, None, None] * loss).astype(np.float32)
    wild = np.where(mask, field, 1e4).astype(np.float32)
    fit = ferritin_kernels.monoexp(echoes, TE, mask, gradient=ferritin_kernels.Gradient(wild))
    enough = np.count_nonzero(loss > 0.11, axis=0) >= 3
    np.testing.assert_allclose(fit.rate[mask & enough], 40, rtol=1e-2)


def test_echoes_that_are_gone_are_left_out():
    """50 Hz across the voxel: the signal is zero at 20 ms; the echoes there must not pull R2*."""
    echoes = decay("box", 50.0).astype(np.float32)
    assert echoes[3].max() < 1e-3
    field = np.broadcast_to(50 * np.arange(8, dtype=np.float32), echoes.shape[1:]).copy()
    fit = ferritin_kernels.monoexp(echoes, TE, gradient=ferritin_kernels.Gradient(field))
    np.testing.assert_allclose(fit.rate, 25, rtol=5e-3)


def test_wrong_options_say_what_to_do():
    echoes = np.ones((6, 4, 4, 8), np.float32)
    for gradient, words in (
        (ferritin_kernels.Gradient(np.zeros((4, 4, 4), np.float32)), "expected float32"),
        (ferritin_kernels.Gradient(np.zeros((4, 4, 8), np.float32), ("box", "round", "box")), "must name one of"),
        (ferritin_kernels.Gradient(np.zeros((4, 4, 8), np.float32), time_bandwidth=0.0), "must be above 0"),
    ):
        with pytest.raises(ValueError, match=words):
            ferritin_kernels.monoexp(echoes, TE, gradient=gradient)
