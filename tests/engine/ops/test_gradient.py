"""The gradient: exact on a wave, its adjoint, its norm and the spectrum of their product."""

import numpy as np
import pytest

from ferritin.ops.gradient import Gradient, relative_step
from properties.adjoint import assert_adjoint, norm_of

VOXEL = (1.0, 2.0, 0.5)


@pytest.mark.parametrize("shape", [(8, 9, 10), (7, 6, 5)])
def test_adjoint(shape):
    rng = np.random.default_rng(1)
    op = Gradient(VOXEL)
    x = rng.normal(size=shape).astype(np.float32)
    y = rng.normal(size=(3, *shape)).astype(np.float32)
    assert_adjoint(lambda v: op(np, v), lambda g: op.adjoint(np, g), x, y)


def test_slabs_add_up_to_the_whole():
    rng = np.random.default_rng(4)
    op, x = Gradient(VOXEL), rng.normal(size=(9, 6, 5)).astype(np.float32)
    whole, out = op(np, x), np.zeros_like(x)
    for s in (slice(0, 4), slice(4, 8), slice(8, 9)):
        part = op.on_slab(np, x, s)
        assert np.array_equal(part, whole[:, s])
        op.add_adjoint_of_slab(np, part, s, out)
    np.testing.assert_allclose(out, op.adjoint(np, whole), atol=1e-5)


def test_relative_step_has_mean_one():
    assert relative_step((1.25, 1.25, 1.25)) == (1.0, 1.0, 1.0)
    step = relative_step((1.0, 1.0, 2.0))
    assert np.prod(step) == pytest.approx(1)
    assert step[2] == pytest.approx(2 * step[0])


def test_slope_is_per_mm():
    x = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None] * 3, (6, 4, 4))
    g = Gradient((2.0, 1.0, 1.0))(np, x)
    assert np.all(g[0, :-1] == 1.5)
    assert np.all(g[0, -1] == -7.5)
    assert not g[1:].any()


@pytest.mark.parametrize("shape", [(8, 6, 10), (7, 9, 5)])
def test_normal_spectrum(shape):
    rng = np.random.default_rng(2)
    op, x = Gradient(VOXEL), rng.normal(size=shape).astype(np.float32)
    direct = op.adjoint(np, op(np, x))
    spectral = np.fft.irfftn(np.fft.rfftn(x) * op.normal_spectrum(np, shape), shape, axes=(0, 1, 2))
    np.testing.assert_allclose(spectral, direct, atol=1e-4)


def test_norm_is_tight_on_even_lengths():
    rng = np.random.default_rng(3)
    op, x = Gradient(VOXEL), rng.normal(size=(8, 8, 8)).astype(np.float32)
    found = norm_of(lambda v: op(np, v), lambda g: op.adjoint(np, g), x, steps=200)
    assert found == pytest.approx(np.sqrt(op.norm2), rel=2e-3)
