"""Proximal steps against a search over all values."""

import numpy as np
import pytest

from ferritin.solvers.fidelity import Absolute, AbsolutePhase, Phase, Squared

SCALE = 2.0


def cost(name, y, data, w):
    angle = SCALE * (y - data)
    return {
        "squared": 0.5 * w**2 * (y - data) ** 2,
        "absolute": w * np.abs(y - data),
        "phase": w**2 * (1 - np.cos(angle)) / SCALE**2,
        "absolute phase": w * 2 * np.abs(np.sin(angle / 2)) / SCALE,
    }[name]


METHODS = {
    "squared": Squared(),
    "absolute": Absolute(),
    "phase": Phase(SCALE, steps=60),
    "absolute phase": AbsolutePhase(SCALE, steps=60),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("rho", [0.5, 2.0, 20.0])
def test_against_a_search(name, rho):
    rng = np.random.default_rng(0)
    v, data = (rng.uniform(-0.6, 0.6, 200).astype(np.float32) for _ in range(2))
    w = rng.uniform(0, 1, 200).astype(np.float32)
    w[:5] = 0
    out = np.empty_like(v)
    METHODS[name](np, v, data, METHODS[name].weighting(np, w), np.float32(rho), out)
    grid = np.linspace(-1.5, 1.5, 30001)[:, None]
    total = cost(name, grid, data, w) + rho / 2 * (grid - v) ** 2
    reached = cost(name, out.astype(float), data, w) + rho / 2 * (out.astype(float) - v) ** 2
    np.testing.assert_allclose(reached, total.min(axis=0), atol=2e-4)
    np.testing.assert_allclose(out[:5], v[:5], atol=1e-6)


@pytest.mark.parametrize("name", ["phase", "absolute phase"])
def test_data_a_turn_away_are_the_same(name):
    v = np.linspace(-0.2, 0.2, 9, dtype=np.float32)
    data, w = np.zeros_like(v), np.ones_like(v)
    near, far = np.empty_like(v), np.empty_like(v)
    turn = np.float32(2 * np.pi / SCALE)
    METHODS[name](np, v, data, w, np.float32(1), near)
    METHODS[name](np, v, data + 2 * turn, w, np.float32(1), far)
    np.testing.assert_allclose(far, near, atol=1e-5)


def test_five_steps_suffice_for_a_phase():
    v, data, w = np.full(1, 0.3, np.float32), np.zeros(1, np.float32), np.ones(1, np.float32)
    few, many = np.empty(1, np.float32), np.empty(1, np.float32)
    Phase(SCALE)(np, v, data, w, np.float32(0.03), few)
    Phase(SCALE, steps=60)(np, v, data, w, np.float32(0.03), many)
    assert few == pytest.approx(many, abs=1e-4)
