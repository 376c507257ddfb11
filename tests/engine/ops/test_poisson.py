"""The Poisson solver against its own stencil written out, and integration of wrapped differences."""

import numpy as np
import pytest

from ferritin import backend
from ferritin.ops.poisson import Poisson, integrate_wrapped, wrap


def stencil(u):
    """Σ over the neighbours of (u_i - u_j), walls reflecting, from its definition."""
    out = np.zeros_like(u)
    padded = np.pad(u, 1, mode="edge")
    for axis in range(3):
        for shift in (0, 2):
            index = [slice(1, -1)] * 3
            index[axis] = slice(shift, shift + u.shape[axis])
            out += u - padded[tuple(index)]
    return out


def test_solves_its_stencil(xp, to_xp, to_np):
    rng = np.random.default_rng(0)
    u = rng.normal(size=(7, 10, 5)).astype(np.float32)
    u -= u.mean()
    with backend.count_ffts() as n:
        solution = to_np(Poisson(xp, u.shape).solve(to_xp(stencil(u))))
    assert np.abs(solution - u).max() < 1e-5
    assert n.count == 2


def test_wrap_is_the_nearest_turn(xp, to_xp, to_np):
    phase = np.linspace(-30, 30, 1001, dtype=np.float32)
    wrapped = to_np(wrap(to_xp(phase)))
    assert np.abs(wrapped).max() <= np.pi + 1e-5
    assert np.abs(np.exp(1j * wrapped) - np.exp(1j * phase)).max() < 1e-5


def ramp(shape=(24, 20, 16)):
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return (1.5 * x - 2.0 * y + 0.1 * z**2 / 4).astype(np.float32)


def test_integrates_many_wraps_exactly(xp, to_xp, to_np):
    truth = ramp()
    got = to_np(integrate_wrapped(to_xp(wrap(truth))))
    assert np.abs(got - (truth - truth.mean())).max() < 1e-3


def test_weights_keep_noise_outside_from_the_inside(xp, to_xp, to_np):
    truth, rng = ramp(), np.random.default_rng(1)
    inside = np.zeros(truth.shape, bool)
    inside[4:-4, 4:-4, 3:-3] = True
    phase = wrap(np.where(inside, truth, rng.uniform(-3, 3, truth.shape)).astype(np.float32))
    weight = to_xp(inside.astype(np.float32))
    got = to_np(integrate_wrapped(to_xp(phase), weight, n_iterations=60, tolerance=1e-7))
    error = (got - truth)[inside]
    assert np.abs(error - error.mean()).max() < 0.02
    plain = (to_np(integrate_wrapped(to_xp(phase))) - truth)[inside]
    assert np.abs(plain - plain.mean()).max() > 0.1


def test_a_flat_phase_is_no_division_by_zero(xp, to_xp, to_np):
    flat = np.zeros((5, 6, 7), np.float32)
    got = to_np(integrate_wrapped(to_xp(flat), to_xp(flat + 1)))
    assert got == pytest.approx(0)
