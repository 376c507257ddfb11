"""The closed forms of R2* against published numbers, their meaning in numpy, and Monte Carlo."""

import numpy as np
import pytest

import ferritin_kernels
from ferritin_kernels.meaning import closed as meaning

TE = 0.004 + 0.005 * np.arange(6)
FORMS = ["log_linear", "arlo", "numart"]


def decays(n, sd, rate=(5, 120), seed=0):
    rng = np.random.default_rng(seed)
    r = rng.uniform(*rate, n)
    echoes = 100 * np.exp(-TE[:, None] * r) + sd * (rng.standard_normal((6, n)) + 1j * rng.standard_normal((6, n)))
    return echoes.astype(np.complex64), r


def test_arlo_published_value():
    """T2* 20 ms, six echoes from 4 ms every 5 ms: 20.00043 ms by Simpson's rule (algorithm reference 8.2)."""
    echoes = np.exp(-TE / 0.020)[:, None].astype(np.float32)
    assert meaning.arlo(np.exp(-TE / 0.020)[:, None], TE)[0] == pytest.approx(1 / 0.02000043, rel=1e-6)
    assert ferritin_kernels.closed_form(echoes, TE, form="arlo").rate[0] == pytest.approx(1 / 0.02000043, rel=2e-6)


def test_log_linear_is_exact(level):
    echoes, rate = decays(500, 0)
    fit = ferritin_kernels.closed_form(echoes, TE)
    np.testing.assert_allclose(fit.rate, rate, rtol=1e-4)
    np.testing.assert_allclose(fit.s0, 100, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_kernel_means_the_formula(level, form):
    echoes, _ = decays(2000, 1.0)
    fit = ferritin_kernels.closed_form(echoes, TE, form=form)
    expected = np.clip(getattr(meaning, form)(abs(echoes.astype(complex)), TE), 0, 1000)
    np.testing.assert_allclose(fit.rate, expected, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("known", [True, False])
def test_error_is_the_scatter(form, known):
    """One rate, many draws: the mean standard error is the scatter of the estimates."""
    echoes, _ = decays(20_000, 2.0, rate=(40, 40))
    fit = ferritin_kernels.closed_form(echoes, TE, form=form, noise_sd=2.0 if known else None)
    assert np.sqrt(np.mean(fit.error**2)) == pytest.approx(np.std(fit.rate), rel=0.05 if form != "numart" else 0.15)


def test_noise_floor_is_taken_off():
    """Late echoes at the floor: with the noise known they are corrected and the weakest left out."""
    echoes, _ = decays(20_000, 5.0, rate=(100, 100))
    known = ferritin_kernels.closed_form(echoes, TE, noise_sd=5.0).rate.mean()
    plain = ferritin_kernels.closed_form(echoes, TE).rate.mean()
    assert abs(known - 100) < 0.7 * abs(plain - 100)


def test_arlo_refuses_unequal_spacing():
    with pytest.raises(ValueError, match="equally spaced"):
        ferritin_kernels.closed_form(np.ones((3, 4), np.float32), (0.004, 0.009, 0.015), form="arlo")
    with pytest.raises(ValueError, match="too few"):
        ferritin_kernels.closed_form(np.ones((2, 4), np.float32), (0.004, 0.009), form="arlo")
    with pytest.raises(ValueError, match="not known"):
        ferritin_kernels.closed_form(np.ones((2, 4), np.float32), (0.004, 0.009), form="prony")
