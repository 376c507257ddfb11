"""The complex fit against truth, against its meaning in float64, and against scipy."""

import numpy as np
import pytest
from scipy.optimize import least_squares

import ferritin_kernels
from ferritin_kernels.meaning import complexfit as meaning

TE = np.array((0.004, 0.009, 0.014, 0.019, 0.024, 0.030))
SIGNS = np.array((1, -1, 1, -1, 1, -1))


def decays(n, sd, seed=0, bipolar=0.0, te=TE, rate=(5, 80)):
    """Echoes, their unwrapped phase, and the truth: rate, field, offset."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(*rate, n), rng.uniform(-150, 150, n), rng.uniform(-3, 3, n)
    t = te[:, None]
    phase = truth[2] + 2 * np.pi * truth[1] * t + bipolar * SIGNS[: te.size, None]
    echoes = 100 * np.exp(-t * truth[0] + 1j * phase)
    echoes += sd * (rng.standard_normal(echoes.shape) + 1j * rng.standard_normal(echoes.shape))
    unwrapped = phase + np.angle(echoes * np.exp(-1j * phase))
    return echoes.astype(np.complex64), unwrapped.astype(np.float32), truth


@pytest.mark.parametrize("bipolar", [False, True])
def test_noise_free_truth(level, bipolar):
    echoes, unwrapped, (rate, field, offset) = decays(500, 0, bipolar=0.4 if bipolar else 0)
    fit = ferritin_kernels.complexfit(echoes, TE, None, unwrapped, bipolar=bipolar)
    np.testing.assert_allclose(fit.rate, rate, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(fit.field, field, atol=2e-3)
    np.testing.assert_allclose(fit.s0, 100, rtol=1e-4)
    assert np.abs(np.angle(np.exp(1j * (fit.offset - offset)))).max() < 1e-3
    if bipolar:
        np.testing.assert_allclose(fit.bipolar, 0.4, atol=1e-4)
    assert fit.converged.all()


@pytest.mark.parametrize("bipolar", [False, True])
@pytest.mark.parametrize("noise_sd", [0.0, 2.0])
def test_kernel_means_the_float64_fit(level, bipolar, noise_sd):
    echoes, unwrapped, (rate, field, _) = decays(2000, 2.0, bipolar=0.4 if bipolar else 0)
    options = {"polarity": SIGNS, "noise_sd": noise_sd or None}
    fit = ferritin_kernels.complexfit(echoes, TE, None, unwrapped, bipolar=bipolar, **options)
    options["polarity"] = SIGNS if bipolar else None
    truth = meaning.fit(echoes.astype(complex), TE, rate, field, **options)
    assert np.percentile(abs(fit.rate - truth.rate), 99) < 0.02
    assert np.percentile(abs(fit.field - truth.field) / truth.field_error, 99) < 5e-3
    np.testing.assert_allclose(np.percentile(fit.field_error / truth.field_error, (1, 99)), 1, atol=0.01)
    np.testing.assert_allclose(np.percentile(fit.rate_error / truth.rate_error, (1, 99)), 1, atol=0.01)
    np.testing.assert_allclose(np.percentile(fit.residual / truth.residual, (1, 99)), 1, atol=0.01)


def test_it_is_scipys_least_squares():
    echoes, unwrapped, (rate, field, _) = decays(20, 3.0)
    fit = ferritin_kernels.complexfit(echoes, TE, None, unwrapped)
    for v in range(20):

        def residual(p, v=v):
            model = p[0] * np.exp(-TE * p[1] + 1j * (p[2] + 2 * np.pi * p[3] * TE))
            return (model - echoes[:, v]).view(float)

        best = least_squares(residual, (100, rate[v], 0, field[v]), x_scale=(100, 10, 1, 1), xtol=1e-12)
        flipped = least_squares(residual, (100, rate[v], np.pi, field[v]), x_scale=(100, 10, 1, 1), xtol=1e-12)
        best = min(best, flipped, key=lambda f: f.cost)
        assert fit.field[v] == pytest.approx(best.x[3], abs=2e-3)
        assert fit.rate[v] == pytest.approx(best.x[1], abs=0.03)


def test_errors_are_the_scatter_of_known_truth():
    echoes, unwrapped, (rate, field, _) = decays(20_000, 2.5)
    fit = ferritin_kernels.complexfit(echoes, TE, None, unwrapped, noise_sd=2.5)
    assert np.std((fit.field - field) / fit.field_error) == pytest.approx(1, abs=0.03)
    assert np.std((fit.rate - rate) / fit.rate_error) == pytest.approx(1, abs=0.03)


def test_no_noise_floor_bias():
    """R2* 100 1/s at SNR 20: complex noise has no floor."""
    echoes, unwrapped, _ = decays(20_000, 100 * np.exp(-100 * TE[0]) / 20, rate=(100, 100))
    assert ferritin_kernels.complexfit(echoes, TE, None, unwrapped).rate.mean() == pytest.approx(100, rel=0.02)


def test_without_unwrapped_phase_time_unwraps_it():
    echoes, unwrapped, (_, field, _) = decays(3000, 0.5)
    near = abs(field) < 0.9 / (2 * (TE[1] - TE[0]))
    fit = ferritin_kernels.complexfit(echoes, TE)
    assert np.abs(fit.field - field)[near].max() < 1
    given = ferritin_kernels.complexfit(echoes, TE, None, unwrapped)
    np.testing.assert_allclose(fit.field[near], given.field[near], atol=2e-3)


def test_a_phase_wrongly_unwrapped_sends_no_field_out_of_reach(level):
    """Far from the answer all but one echo can lose their weight, and nothing then holds the frequency."""
    echoes, _, _ = decays(20_000, 5.0, te=TE[:4])
    wrong = np.random.default_rng(1).uniform(-9, 9, echoes.shape).astype(np.float32)
    fit = ferritin_kernels.complexfit(echoes, TE[:4], None, wrong)
    assert np.abs(fit.field).max() < 3000


def test_two_echoes_and_odd_voxels():
    echoes, unwrapped, (_, field, _) = decays(100, 0, te=TE[:2])
    unwrapped[0, 3] = np.nan
    echoes[1, 4] = np.inf
    echoes[:, 5] = 0
    fit = ferritin_kernels.complexfit(echoes, TE[:2], None, unwrapped)
    good = np.ones(100, bool)
    good[3:6] = False
    np.testing.assert_allclose(fit.field[good], field[good], atol=0.01)
    assert np.all(fit.field[~good] == 0)
    assert not fit.converged[~good].any()
    assert np.all(np.isnan(fit.field_error[good]))  # as many numbers as unknowns: nothing tells the noise


def test_results_do_not_depend_on_neighbours_or_threads(level):
    echoes, unwrapped, _ = decays(9000, 3.0)
    all_at_once = ferritin_kernels.complexfit(echoes, TE, None, unwrapped, threads=1)
    threads = ferritin_kernels.complexfit(echoes, TE, None, unwrapped, threads=3)
    mask = np.random.default_rng(0).random(9000) > 0.7
    masked = ferritin_kernels.complexfit(echoes, TE, mask, unwrapped)
    assert np.array_equal(all_at_once.field, threads.field)
    assert np.array_equal(masked.field, np.where(mask, all_at_once.field, 0))


def test_only_the_maps_asked_for():
    echoes, unwrapped, _ = decays(10, 1.0)
    fit = ferritin_kernels.complexfit(echoes, TE, None, unwrapped, maps=("field",))
    assert fit.rate is None
    assert fit.field.shape == (10,)
    with pytest.raises(ValueError, match="cannot be made"):
        ferritin_kernels.complexfit(echoes, TE, maps=("iron",))
    with pytest.raises(TypeError, match="the phase is fitted too"):
        ferritin_kernels.complexfit(abs(echoes), TE)
    with pytest.raises(ValueError, match="both among them"):
        ferritin_kernels.complexfit(echoes, TE, bipolar=True, polarity=[1] * 6)
