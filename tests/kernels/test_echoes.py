"""Sums over the echoes against their meaning in float64."""

import numpy as np
import pytest

import ferritin_kernels as kernels
from ferritin_kernels.meaning import echoes as meaning

TE = np.array([0.004, 0.0095, 0.014, 0.021])


def decays(n, seed=0):
    """Noisy decays of complex64 (echo, voxel) and their unwrapped phase [rad], float32."""
    rng = np.random.default_rng(seed)
    t, field = TE[:, None], rng.uniform(-80, 80, n)
    echoes = 100 * np.exp(-t * rng.uniform(5, 200, n) + 1j * (2 * np.pi * t * field + 0.4))
    echoes += rng.standard_normal((TE.size, n)) + 1j * rng.standard_normal((TE.size, n))
    true = 2 * np.pi * t * field + 0.4
    unwrapped = true + np.angle(echoes * np.exp(-1j * true))
    return echoes.astype(np.complex64), unwrapped.astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 4099])
@pytest.mark.parametrize("weights", [None, (1.0, 0.5, 0.0, 2.0)])
def test_root_sum_of_squares(level, n, weights):
    echoes, _ = decays(n)
    w = np.ones(TE.size) if weights is None else np.array(weights)
    found = kernels.root_sum_of_squares(echoes, weights)
    np.testing.assert_allclose(found, meaning.root_sum_of_squares(echoes.astype(complex), w), rtol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 4099])
@pytest.mark.parametrize("weights", [None, (1.0, 0.5, 0.0, 2.0)])
def test_phase_line(level, n, weights):
    echoes, unwrapped = decays(n)
    w = np.ones(TE.size) if weights is None else np.array(weights)
    found = kernels.phase_line(echoes, unwrapped, TE, weights, noise_sd=2.0, offset=True)
    field, error, offset = meaning.phase_line(echoes.astype(complex), unwrapped.astype(float), TE, w)
    np.testing.assert_allclose(found.field, field, atol=2e-3)
    np.testing.assert_allclose(found.field_error, 2 * error, rtol=1e-5)
    np.testing.assert_allclose(found.offset, offset, atol=1e-4)


def test_without_signal_the_error_is_infinite_and_the_field_zero():
    echoes, unwrapped = decays(3)
    echoes[:, 0] = 0  # no echo
    echoes[1:, 1] = 0  # one echo
    line = kernels.phase_line(echoes, unwrapped, TE)
    assert np.isinf(line.field_error).tolist() == [True, True, False]
    assert line.field[:2].tolist() == [0, 0]
    assert line.offset is None


def test_wrong_arguments_say_what_to_do():
    echoes, unwrapped = decays(3)
    with pytest.raises(TypeError, match="expected complex64"):
        kernels.root_sum_of_squares(abs(echoes))
    with pytest.raises(ValueError, match="unwrapped_phase is float64"):
        kernels.phase_line(echoes, unwrapped.astype(float), TE)
    with pytest.raises(ValueError, match="must be 4 numbers"):
        kernels.phase_line(echoes, unwrapped, TE, (1, 2))
