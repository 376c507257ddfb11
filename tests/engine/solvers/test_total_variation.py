"""ADMM for total variation: the minimum against an independent solver, whatever the penalties."""

import numpy as np
import pytest

from ferritin.ops.gradient import Gradient
from ferritin.ops.slabs import each, slabs
from ferritin.solvers.stopping import Stopping
from ferritin.solvers.total_variation import TotalVariation

SHAPE = (12, 10, 8)
LAMBDA = 0.05


def problem(kernel=None):
    rng = np.random.default_rng(0)
    blocks = np.zeros(SHAPE, np.float32)
    blocks[3:8, 2:7, 2:6] = 1
    data = blocks + 0.1 * rng.normal(size=SHAPE).astype(np.float32)
    weight = (0.5 + rng.random(SHAPE)).astype(np.float32)
    kernel = np.ones((12, 10, 5), np.float32) if kernel is None else kernel
    return kernel, data, weight, np.full(SHAPE, LAMBDA, np.float32)


def objective(x, kernel, data, weight, prior):
    field = np.fft.irfftn(np.fft.rfftn(x) * kernel, SHAPE, axes=(0, 1, 2))
    slope = Gradient((1, 1, 1))(np, x)
    return 0.5 * ((weight * (field - data)) ** 2).sum() + (prior * np.sqrt((slope**2).sum(0))).sum()


def run(iterations=600, **penalties):
    parts = problem()
    solver = TotalVariation(*parts, (1, 1, 1), **penalties)
    return solver.solve(np, Stopping(iterations, 0.0))[0], parts


def test_minimum_of_the_denoising_problem_against_a_dual_method():
    """With K = 1 the problem is weighted denoising; its dual, solved by projected gradient, gives the same value."""
    x, parts = run(data_penalty=1.0, prior_penalty=1.0)
    _, data, weight, prior = parts
    gradient, p = Gradient((1, 1, 1)), np.zeros((3, *SHAPE), np.float64)
    w2 = weight.astype(np.float64) ** 2
    for _ in range(3000):
        y = data - gradient.adjoint(np, p) / w2
        p = p + 0.02 * gradient(np, y)
        p /= np.maximum(1, np.sqrt((p**2).sum(0)) / prior)
    dual = data - gradient.adjoint(np, p) / w2
    assert objective(x, *parts) == pytest.approx(objective(dual, *parts), rel=1e-4)
    np.testing.assert_allclose(x, dual, atol=5e-3)


@pytest.mark.parametrize("penalties", [{"data_penalty": 0.3}, {"prior_penalty": 0.3}])
def test_penalties_change_the_way_not_the_goal(penalties):
    first, parts = run(data_penalty=1.0, prior_penalty=1.0)
    second, _ = run(**({"data_penalty": 1.0, "prior_penalty": 1.0} | penalties))
    assert objective(second, *parts) == pytest.approx(objective(first, *parts), rel=1e-3)


def test_every_slab_is_worked_on_once_and_neighbours_never_together():
    import threading
    import time

    for count in (1, 2, 3, 7, 8):
        parts, busy, seen, lock = [slice(i, i + 1) for i in range(count)], set(), [], threading.Lock()

        def work(s, count=count, busy=busy, seen=seen, lock=lock):
            with lock:
                assert not {(s.start - 1) % count, (s.start + 1) % count} & (busy - {s.start})
                busy.add(s.start)
            time.sleep(0.002)
            with lock:
                busy.remove(s.start)
                seen.append(s.start)

        each(work, parts, neighbours=True)
        assert sorted(seen) == list(range(count))


def test_slabs_cover_the_volume():
    for shape in ((5, 4, 3), (100, 128, 128)):
        parts = slabs(np, shape)
        assert [p.start for p in parts[1:]] == [p.stop for p in parts[:-1]]
        assert (parts[0].start, parts[-1].stop) == (0, shape[0])
