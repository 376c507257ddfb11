"""Every background removal gives the same field on every array namespace and leaves its input alone."""

import numpy as np
import pytest

from ferritin import stages
from ferritin.registry import methods
from properties.fields import grid, scan_of, sphere_field

METHODS = {m.name: m for m in methods("background")}
SCAN = scan_of((40, 38, 36), b0_dir=(0.3, 0.2, 0.9))
X, Y, Z = grid(SCAN)
MASK = X**2 + Y**2 + Z**2 < 15**2
FIELD = ((sphere_field(SCAN, 3.0) + sphere_field(SCAN, 4.0, 9.4, centre=(20, 20, -4))) * MASK).astype(np.float32)
NOISE = (1 + 0.5 * np.random.default_rng(0).random(FIELD.shape)).astype(np.float32)
ECHOES = np.exp(2j * np.pi * FIELD * SCAN.te_s[0])[None].astype(np.complex64) * MASK
INPUTS = {"echoes": ECHOES, "total_field": FIELD, "mask": MASK, "field_noise": NOISE}


def run(method, xp=np):
    """The method on the small phantom with few iterations."""
    inputs = {name: value if xp is np else xp.asarray(value) for name, value in INPUTS.items()}
    wanted = {n: inputs[n] for n in (*method.consumes, *method.optional) if n in inputs}
    few = {p.keyword: 3 for p in method.parameters if p.name.endswith("iterations")}
    small = {p.keyword: 4.0 for p in method.parameters if p.name == "radius_mm"}
    return method.function(**wanted, scan=SCAN, **few, **small)


@pytest.mark.parametrize("name", METHODS)
def test_same_on_every_namespace(name, xp, to_np):
    before = {k: v.copy() for k, v in INPUTS.items()}
    result, host = run(METHODS[name], xp), run(METHODS[name])
    stages.check("local_field", result.local_field, SCAN)
    stages.check("mask", result.mask, SCAN)
    scale = np.abs(host.local_field).max()
    np.testing.assert_allclose(to_np(result.local_field), host.local_field, atol=1e-3 * scale)
    assert np.array_equal(to_np(result.mask), host.mask)
    assert all(np.array_equal(INPUTS[k], before[k]) for k in before)
    assert not (host.mask & ~MASK).any()
    assert not host.local_field[~host.mask].any()
