"""The other ADMM solvers: the objective cannot be lowered, and each gives back what it is made for."""

import numpy as np
import pytest

from ferritin.ops.gradient import Gradient
from ferritin.ops.symmetric import SymmetricGradient
from ferritin.solvers.fidelity import Squared
from ferritin.solvers.generalized_variation import GeneralizedVariation
from ferritin.solvers.kspace_variation import kspace_variation
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import TotalVariation
from ferritin.solvers.weak_harmonic import WeakHarmonic

SHAPE, STEP = (14, 12, 10), (1.0, 1.0, 1.0)
ONES = np.ones((14, 12, 6), np.float32)
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=SHAPE).astype(np.float32)
GRADIENT, SYMMETRIC = Gradient(STEP), SymmetricGradient(STEP)


def test_kspace_form_equals_the_voxel_form():
    """With uniform weights both solvers have the same problem."""
    kernel = RNG.uniform(0.2, 1, ONES.shape).astype(np.float32)
    kernel = np.fft.rfftn(np.fft.irfftn(kernel.astype(complex), SHAPE, axes=(0, 1, 2))).real.astype(np.float32)
    data = (NOISE + 2 * (np.arange(14)[:, None, None] > 6)).astype(np.float32)
    prior, penalty = 0.3, 0.5
    voxel = TotalVariation(
        kernel,
        data,
        np.ones_like(data),
        np.full(SHAPE, np.float32(prior)),
        STEP,
        data_penalty=1.0,
        prior_penalty=penalty,
    ).solve(np, Stopping(500, 0.0))[0]
    spectrum = (np.fft.rfftn(data) / kernel).astype(np.complex64)
    inner = kspace_variation(np, kernel**2, spectrum, SHAPE, prior / penalty, penalty, STEP, Stopping(500, 0.0))
    np.testing.assert_allclose(inner, voxel, atol=5e-3)


def tgv_objective(x, w, data, first, second):
    slope, bend = GRADIENT(np, x) - w, SYMMETRIC(np, w)
    count = np.array([1, 1, 1, 2, 2, 2], np.float32)[:, None, None, None]
    return (
        0.5 * ((x - data) ** 2).sum()
        + first * np.sqrt((slope**2).sum(0)).sum()
        + second * np.sqrt((count * bend**2).sum(0)).sum()
    )


def test_generalized_variation_keeps_slopes_that_total_variation_flattens():
    """A roof (periodic slopes) with noise: the slopes come back without stairs."""
    line = np.abs(np.arange(14) - 7).astype(np.float32)
    roof = np.broadcast_to(line[:, None, None], SHAPE).astype(np.float32)
    data = roof + np.float32(0.3) * NOISE
    general = GeneralizedVariation(
        ONES, data, np.ones_like(data), 0.6, 1.2, STEP, Squared(), data_penalty=1.0, prior_penalty=1.0
    ).solve(np, Stopping(300, 0.0))
    plain = TotalVariation(
        ONES, data, np.ones_like(data), np.full(SHAPE, 0.6, np.float32), STEP, data_penalty=1.0, prior_penalty=1.0
    ).solve(np, Stopping(300, 0.0))[0]
    # K(0) = 1 here, but the solvers leave the mean free where K(0) = 0: compare without it.
    error = [np.std(v - roof) for v in (general, plain)]
    assert error[0] < 0.7 * error[1]


def test_generalized_variation_reaches_the_minimum():
    data = (NOISE - NOISE.mean()).astype(np.float32)
    runs = [
        GeneralizedVariation(ONES, data, np.ones_like(data), 0.3, 0.5, STEP, Squared(), penalty, 1.0).solve(
            np, Stopping(600, 0.0)
        )
        for penalty in (0.3, 1.0)
    ]
    np.testing.assert_allclose(runs[0], runs[1], atol=0.02)


def test_weak_harmonic_takes_a_harmonic_field():
    """Data of a block plus x·y, which is harmonic: the block comes back, the rest goes to h."""
    shape = (24, 24, 24)
    x, y, _ = np.meshgrid(*(np.arange(24) - 12.0,) * 3, indexing="ij")
    block = np.zeros(shape, np.float32)
    block[9:14, 10:15, 9:15] = 1
    ball = x**2 + y**2 + (np.arange(24) - 12.0) ** 2 < 9.5**2
    data = ((block + 0.1 * x * y) * ball).astype(np.float32)
    found = WeakHarmonic(
        np.ones((24, 24, 13), np.float32),
        data,
        ball.astype(np.float32),
        150,
        ball,
        0.02,
        STEP,
        Squared(),
        data_penalty=1.0,
        prior_penalty=0.3,
    ).solve(np, GRADIENT, Stopping(800, 0.0))
    deep = x**2 + y**2 + (np.arange(24) - 12.0) ** 2 < 7**2
    left = (found - block)[deep]
    assert left.std() < 0.25 * (data - block)[deep].std()
    assert found[11, 12, 12] - np.median(found[deep & (block == 0)]) == pytest.approx(1, abs=0.3)
