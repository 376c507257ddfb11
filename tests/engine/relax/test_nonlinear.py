"""R2* of decays whose truth is known."""

import numpy as np
import pytest
from scipy.optimize import least_squares

import ferritin_kernels
from ferritin.relax import nonlinear
from ferritin.scan import Scan

TE = (0.004, 0.009, 0.014, 0.019, 0.024, 0.030)


def scan_of(shape, te=TE):
    return Scan(te_s=te, b0_t=3.0, affine=np.eye(4), shape=shape)


def decay(shape, te=TE, sd=0.0, seed=0, rate=(5, 300), s0=1000.0):
    rng = np.random.default_rng(seed)
    r2star = rng.uniform(*rate, shape).astype(np.float32)
    t = np.reshape(te, (-1, 1, 1, 1))
    phase = np.exp(1j * rng.uniform(-3, 3, (len(te), *shape)))
    echoes = s0 * np.exp(-t * r2star) * phase
    noise = rng.standard_normal((2, *echoes.shape)) * sd
    return (echoes + noise[0] + 1j * noise[1]).astype(np.complex64), r2star


def test_noise_free_truth_in_every_namespace(xp, to_xp, to_np):
    echoes, truth = decay((6, 5, 4))
    mask = np.ones(truth.shape, bool)
    mask[0] = False
    for noise in ("plain", "floor"):
        maps = nonlinear(to_xp(echoes), to_xp(mask), scan_of(truth.shape), noise=noise)
        np.testing.assert_allclose(to_np(maps.r2star), truth * mask, rtol=2e-3)
        np.testing.assert_allclose(to_np(maps.s0), 1000 * mask, rtol=2e-3)
        assert maps.r2star.dtype == np.float32
        assert maps.record.stopped_by == "tolerance"


def test_two_echoes_give_the_log_ratio():
    te = (0.004, 0.012)
    echoes, truth = decay((4, 4, 4), te)
    maps = nonlinear(echoes, np.ones(truth.shape, bool), scan_of(truth.shape, te))
    np.testing.assert_allclose(maps.r2star, truth, rtol=1e-3)
    assert np.all(np.isnan(maps.r2star_se))
    known = nonlinear(echoes, np.ones(truth.shape, bool), scan_of(truth.shape, te), 1e-2)
    assert np.all(np.isfinite(known.r2star_se))


@pytest.mark.parametrize("seed", [1])
def test_plain_fit_is_least_squares(seed):
    echoes, _ = decay((5, 5, 4), sd=20.0, seed=seed, rate=(5, 120))
    maps = nonlinear(echoes, np.ones((5, 5, 4), bool), scan_of((5, 5, 4)), noise="plain")
    te = np.array(TE)

    def residual(p, m):
        return p[0] * np.exp(-te * p[1] * 100) - m

    for index in np.ndindex(5, 5, 4):
        m = np.abs(echoes[(slice(None), *index)]).astype(float)
        fit = least_squares(residual, (m[0], 0.5), args=(m,), xtol=1e-12, bounds=(0, np.inf))
        assert maps.r2star[index] == pytest.approx(100 * fit.x[1], rel=2e-3, abs=0.02)
        covariance = 2 * fit.cost / 4 * np.linalg.inv(fit.jac.T @ fit.jac)
        assert maps.r2star_se[index] == pytest.approx(100 * np.sqrt(covariance[1, 1]), rel=0.02)


@pytest.mark.parametrize("noise", ["second", "first"])
def test_standard_error_matches_the_scatter(noise):
    shape = (30, 30, 30)
    echoes, truth = decay(shape, sd=1000 / 40, rate=(20, 80))
    maps = nonlinear(echoes, np.ones(shape, bool), scan_of(shape), 1000 / 40, noise=noise)
    assert np.std((maps.r2star - truth) / maps.r2star_se) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("coils", "noise"), [(1, "second"), (1, "first"), (32, "second"), (32, "first")])
def test_noise_floor_is_corrected(coils, noise):
    """R2* 100 1/s at SNR 20 in the first echo: the mean is right to 2 %, and the plain fit's is not."""
    te = np.array((0.004, 0.008, 0.012, 0.016, 0.020, 0.024))
    shape = (40, 20, 20)
    rng = np.random.default_rng(3)
    amplitude = 20 * np.exp(-100 * (te - te[0]))
    square = np.zeros((te.size, *shape))
    for coil in range(coils):  # all the signal in one coil: the distribution knows the sum alone
        re, im = rng.standard_normal((2, *square.shape))
        square += (re + (amplitude[:, None, None, None] if coil == 0 else 0)) ** 2 + im**2
    echoes = np.sqrt(square).astype(np.complex64)
    mask = np.ones(shape, bool)
    known = nonlinear(echoes, mask, scan_of(shape, tuple(te)), 1.0, noise=noise, coils=coils)
    plain = nonlinear(echoes, mask, scan_of(shape, tuple(te)), 1.0, noise="plain")
    assert known.r2star.mean() == pytest.approx(100, rel=0.02)
    assert abs(plain.r2star.mean() - 100) > (1 if coils == 1 else 20)


def test_voxels_without_signal_are_zero_and_noted():
    echoes, truth = decay((4, 4, 4))
    echoes[:, 0, 0, 0] = 0
    echoes[2, 1, 0, 0] = np.nan
    echoes[3, 2, 0, 0] = np.inf
    maps = nonlinear(echoes, np.ones(truth.shape, bool), scan_of(truth.shape))
    assert maps.r2star[0, 0, 0] == maps.r2star[1, 0, 0] == maps.r2star[2, 0, 0] == 0
    assert np.all(np.isfinite(maps.r2star))
    assert any("3 of 64 voxels" in note for note in maps.record.notes)


def test_a_left_out_echo_does_not_count():
    echoes, truth = decay((4, 4, 4), sd=5)
    te = tuple(t for k, t in enumerate(TE) if k != 2)
    all_ones = np.ones(truth.shape, bool)
    left_out = nonlinear(echoes, all_ones, scan_of(truth.shape), 5.0, weights=(1, 1, 0, 1, 1, 1))
    absent = nonlinear(np.delete(echoes, 2, 0), all_ones, scan_of(truth.shape, te), 5.0)
    np.testing.assert_allclose(left_out.r2star, absent.r2star, rtol=2e-3)
    np.testing.assert_allclose(left_out.r2star_se, absent.r2star_se, rtol=2e-3)


def test_wrong_arguments_say_what_to_do():
    echoes, _truth = decay((2, 2, 2))
    for arguments, words in (
        ({"te_s": TE[:4]}, "do not fit 4 echo times"),
        ({"te_s": TE, "model": "second"}, "needs noise_sd"),
        ({"te_s": TE, "model": "third"}, "not known"),
        ({"te_s": TE, "model": "plain", "mask": np.ones((2, 2), bool)}, "mask is bool"),
        ({"te_s": TE[::-1]}, "must increase"),
        ({"te_s": TE, "model": "plain", "weights": (1, 0, 0, 0, 0, 0)}, "must be 6 numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            ferritin_kernels.monoexp(echoes, **arguments)
    with pytest.raises(ValueError, match="ascontiguousarray"):
        ferritin_kernels.monoexp(np.asfortranarray(echoes), TE)
