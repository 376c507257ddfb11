"""The mono-exponential kernel against its meaning in float64, in every instruction set."""

import numpy as np
import pytest

import ferritin_kernels
from ferritin_kernels.meaning import monoexp as meaning
from ferritin_kernels.monoexp import mean_magnitude, moment_polynomial

TE = np.array((0.004, 0.009, 0.014, 0.019, 0.024, 0.030))


def noisy(n, sd, seed=0, rate=(5, 300), te=TE):
    rng = np.random.default_rng(seed)
    echoes = 100 * np.exp(-te[:, None] * rng.uniform(*rate, n)) + 0j
    echoes += sd * (rng.standard_normal(echoes.shape) + 1j * rng.standard_normal(echoes.shape))
    return echoes.astype(np.complex64)


@pytest.mark.parametrize("model", ["plain", "second", "first", "floor"])
def test_kernel_means_the_float64_fit(level, model):
    sd = 1.0
    echoes = noisy(3000, sd, rate=(5, 150))
    fit = ferritin_kernels.monoexp(echoes, TE, model=model, noise_sd=sd, tolerance=1e-5)
    truth = meaning.fit(abs(echoes.astype(complex)), TE, model=model, noise_sd=sd)
    assert fit.converged.mean() > 0.999
    error = abs(fit.rate - truth.rate) / (0.005 * truth.rate + 0.05)
    assert np.percentile(error, 99) < (1 if model == "floor" else 0.2)
    assert np.median(abs(fit.error / truth.error - 1)) < 2e-3
    assert np.percentile(abs(fit.s0 / truth.s0 - 1), 99) < 2e-3


@pytest.mark.parametrize("model", ["second", "floor"])
def test_equal_spacings_share_an_exponential(level, model):
    """Twelve equal spacings, some of them, or none: the float64 fit and the same standard errors."""
    for te in (np.linspace(0.003, 0.036, 12), np.array((3, 5, 7, 12, 17, 19, 21.5)) / 1e3, 0.003 * 1.4 ** np.arange(7)):
        echoes = noisy(2000, 1.0, rate=(20, 100), te=te)
        fit = ferritin_kernels.monoexp(echoes, te, model=model, noise_sd=1.0, tolerance=1e-5)
        truth = meaning.fit(abs(echoes.astype(complex)), te, model=model, noise_sd=1.0)
        error = abs(fit.rate - truth.rate) / (0.005 * truth.rate + 0.05)
        assert np.percentile(error, 99) < (1 if model == "floor" else 0.2)
        np.testing.assert_allclose(np.percentile(fit.error / truth.error, (2, 98)), 1, atol=0.01)


def test_residual_tells_the_noise_when_nobody_else_does(level):
    echoes = noisy(2000, 1.0, rate=(5, 100))
    fit = ferritin_kernels.monoexp(echoes, TE)
    truth = meaning.fit(abs(echoes.astype(complex)), TE)
    np.testing.assert_allclose(np.percentile(fit.error / truth.error, (1, 99)), 1, atol=0.02)


@pytest.mark.parametrize("coils", [1, 2, 8, 32])
def test_first_moment_polynomial(coils):
    """E[M] by the polynomial against the closed form, and that against Monte Carlo."""
    knee, c = moment_polynomial(coils)
    x = np.logspace(-3, 4, 500)
    t = x**2 / (x**2 + knee)
    mean = np.sqrt(x**2 + np.polynomial.polynomial.polyval(t, c))
    np.testing.assert_allclose(mean, mean_magnitude(x, coils), rtol=1e-4)
    draws = np.random.default_rng(0).standard_normal((2 * coils, 200_000))
    draws[0] += 1.5
    assert mean_magnitude(1.5, coils) == pytest.approx(np.linalg.norm(draws, axis=0).mean(), rel=3e-3)


def test_published_first_moment():
    """Rice, A/σ = 1.5: 1.8749 (algorithm reference 8.3)."""
    assert mean_magnitude(1.5) == pytest.approx(1.8749, abs=1e-4)


@pytest.mark.parametrize("model", ["second", "floor"])
def test_a_voxel_does_not_depend_on_its_neighbours(level, model):
    """Alone, among others, in another place of the vector, beside NaN: the same bits."""
    echoes = noisy(50, 3.0)
    alone = [ferritin_kernels.monoexp(echoes[:, [i]].copy(), TE, model=model, noise_sd=3.0) for i in range(50)]
    for order in (np.arange(50), np.arange(50)[::-1], np.roll(np.arange(50), 7)):
        together = ferritin_kernels.monoexp(echoes[:, order].copy(), TE, model=model, noise_sd=3.0)
        for k, i in enumerate(order):
            assert [m[k] for m in together if m is not None] == [m[0] for m in alone[i] if m is not None]
    beside = echoes.copy()
    beside[:, 1::2] = np.nan
    some = ferritin_kernels.monoexp(beside, TE, model=model, noise_sd=3.0)
    assert np.array_equal(some.rate[::2], [a.rate[0] for a in alone[::2]])


def test_threads_and_masks_do_not_change_results(level):
    echoes = noisy(20_001, 3.0)
    one, three = (ferritin_kernels.monoexp(echoes, TE, threads=k) for k in (1, 3))
    assert all(np.array_equal(a, b) for a, b in zip(one, three) if a is not None)
    mask = np.random.default_rng(0).random(20_001) > 0.6
    masked = ferritin_kernels.monoexp(echoes, TE, mask)
    assert np.array_equal(masked.rate, np.where(mask, one.rate, 0))


def test_magnitude_and_complex_echoes_agree(level):
    echoes = noisy(100, 1.0)
    a, b = (ferritin_kernels.monoexp(e, TE) for e in (echoes, abs(echoes)))
    np.testing.assert_allclose(a.rate, b.rate, rtol=1e-4, atol=1e-3)


def test_inputs_are_not_touched_and_no_voxels_are_fine(level):
    echoes = noisy(64, 1.0)
    before = echoes.copy()
    ferritin_kernels.monoexp(echoes, TE)
    assert np.array_equal(echoes, before)
    assert ferritin_kernels.monoexp(np.zeros((6, 0), np.complex64), TE).rate.shape == (0,)
