"""The split of a total variation in one pass against its meaning, on every instruction set and as the GPU's entry."""

import numpy as np
import pytest

import ferritin_kernels as kernels
from ferritin_kernels.meaning import variation as meaning

SHAPES = [(7, 6, 5), (1, 4, 33), (5, 1, 1), (2, 2, 2), (40, 12, 20)]
STEP = (1.0, 1.3, 0.8)


def problem(shape):
    rng = np.random.default_rng(0)
    x, radius, keep = rng.standard_normal(shape), rng.random(shape), rng.random(shape)
    split = 0.3 * rng.standard_normal((3, *shape))
    return [a.astype(np.float32) for a in (x, split, keep, radius)]


def run(shape, limit=1.0, **options):
    x, split, keep, radius = problem(shape)
    pull = np.full_like(x, np.nan)
    kernels.variation(x, split, keep, pull, None if limit != 1 else radius, STEP, limit=limit, **options)
    return split, keep, pull


def compare(found, shape, limit=1.0, relax=1.0):
    x, split, keep, radius = (a.astype(float) for a in problem(shape))
    expected = meaning.variation(x, split, keep, radius if limit == 1 else limit, STEP, relax)
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("limit", "relax"), [(1.0, 1.0), (0.4, 1.0), (1.0, 1.8)])
def test_means_what_it_says(level, shape, limit, relax):
    compare(run(shape, limit, relax=relax), shape, limit, relax)


def test_unrelaxed_it_is_the_textbooks_step():
    """dual ← projection of ∇x + dual, z ← the rest: Boyd S, et al. Found Trends Mach Learn 2011;3:1, sec. 6.4.1."""
    x, split, keep, radius = (a.astype(float) for a in problem((6, 5, 4)))
    gradient = np.array([(np.roll(x, -1, axis) - x) / s for axis, s in enumerate(STEP)])
    q = gradient + keep * split
    dual = q * np.minimum(1, radius / np.sqrt((q * q).sum(0)))
    found = run((6, 5, 4))
    np.testing.assert_allclose(found[1] * found[0], dual, atol=1e-5)
    np.testing.assert_allclose(found[2], meaning.adjoint((q - dual) - dual, STEP), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 7)])
def test_the_entry_is_sane_and_agrees(on_host_cuda, shape):
    with on_host_cuda:
        found = run(shape)
    compare(found, shape)


def test_threads_change_nothing():
    for one, three in zip(run((33, 12, 11), threads=1), run((33, 12, 11), threads=3)):
        np.testing.assert_array_equal(one, three)


def test_wrong_arguments_say_what_to_do():
    x, split, keep, radius = problem((4, 4, 4))
    with pytest.raises(ValueError, match=r"split is float32 \(2, 4, 4, 4\), expected float32 \(3, 4, 4, 4\)"):
        kernels.variation(x, split[:2], keep, x.copy(), radius)
    with pytest.raises(ValueError, match="keep is not C-contiguous"):
        kernels.variation(x, split, keep.T, x.copy(), radius)
