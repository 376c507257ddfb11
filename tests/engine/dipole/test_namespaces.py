"""Every inversion gives the same map on every array namespace, leaves its input alone, and says what happened."""

import numpy as np
import pytest

from engine.dipole.phantoms import six_spheres
from ferritin import stages
from ferritin.registry import methods

METHODS = {m.name: m for m in methods("dipole")}
SCAN, MASK, CHI, _, FIELD = six_spheres(n=32, b0_dir=(0.3, 0.2, 0.9))
NOISE = (1 + 0.5 * np.random.default_rng(0).random(FIELD.shape)).astype(np.float32)
S0 = (MASK * (1 + 0.1 * np.abs(CHI) + 0.01 * np.random.default_rng(1).random(FIELD.shape))).astype(np.float32)
R2STAR = (3 + 100 * np.abs(CHI)).astype(np.float32)
INPUTS = {"local_field": FIELD, "total_field": FIELD, "mask": MASK, "field_mask": MASK, "field_noise": NOISE}
INPUTS |= {"s0": S0, "r2star": R2STAR}


def run(method, xp=np):
    """The method on the small phantom with few iterations."""
    inputs = {name: value if xp is np else xp.asarray(value) for name, value in INPUTS.items()}
    wanted = {n: inputs[n] for n in (*method.consumes, *method.optional) if n in inputs}
    few = {p.keyword: 3 for p in method.parameters if p.name.endswith("iterations")}
    return method.function(**wanted, scan=SCAN, **few)


@pytest.mark.parametrize("name", METHODS)
def test_same_on_every_namespace(name, xp, to_np):
    before = {k: v.copy() for k, v in INPUTS.items()}
    result = run(METHODS[name], xp)
    host = run(METHODS[name])
    stages.check("chi", result.chi, SCAN)
    scale = np.abs(host.chi).max()
    np.testing.assert_allclose(to_np(result.chi), host.chi, atol=1e-3 * scale)
    assert all(np.array_equal(INPUTS[k], before[k]) for k in before)
    assert not host.chi[~MASK].any()
    assert np.isfinite(host.chi).all()
    assert result.record.notes
    assert (result.record.iterations == 0) == (result.record.stopped_by == "closed form")
