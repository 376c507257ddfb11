"""The split of a total variation in one pass against its meaning, on every instruction set and as the GPU's entry."""

import numpy as np
import pytest

import ferritin_kernels as kernels
from ferritin_kernels.meaning import variation as meaning

SHAPES = [(7, 6, 5), (1, 4, 33), (5, 1, 1), (2, 2, 2), (40, 12, 20)]
STEP = (1.0, 1.3, 0.8)


def problem(shape):
    rng = np.random.default_rng(0)
    x, radius = rng.standard_normal(shape).astype(np.float32), rng.random(shape).astype(np.float32)
    dual = 0.3 * rng.standard_normal((3, *shape)).astype(np.float32)
    return x, dual, radius, meaning.adjoint(dual.astype(float), STEP).astype(np.float32)


def run(shape, limit=1.0, **options):
    x, dual, radius, turn = problem(shape)
    pull = np.full_like(x, np.nan)
    kernels.variation(x, dual, turn, pull, None if limit != 1 else radius, STEP, limit=limit, **options)
    return dual, pull, turn


def compare(found, shape, limit=1.0):
    x, dual, radius, _ = problem(shape)
    expected = meaning.variation(x.astype(float), dual.astype(float), radius if limit == 1 else limit, STEP)
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("limit", [1.0, 0.4])
def test_means_what_it_says(level, shape, limit):
    compare(run(shape, limit), shape, limit)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 7)])
def test_the_entry_is_sane_and_agrees(on_host_cuda, shape):
    with on_host_cuda:
        found = run(shape)
    compare(found, shape)


def test_threads_change_nothing():
    for one, three in zip(run((33, 12, 11), threads=1), run((33, 12, 11), threads=3)):
        np.testing.assert_array_equal(one, three)


def test_wrong_arguments_say_what_to_do():
    x, dual, radius, turn = problem((4, 4, 4))
    with pytest.raises(ValueError, match=r"dual is float32 \(2, 4, 4, 4\), expected float32 \(3, 4, 4, 4\)"):
        kernels.variation(x, dual[:2], turn, turn.copy(), radius)
    with pytest.raises(ValueError, match="turn is not C-contiguous"):
        kernels.variation(x, dual, turn.T, turn.copy(), radius)
