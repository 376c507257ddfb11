"""Every registered method gives under every array namespace what it gives under numpy, and leaves its inputs alone.

Written from the registry: a new method is covered as soon as it is registered. Under the strict stand-in, whatever
would fail on a GPU for want of a conversion fails here.
"""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest

from ferritin import registry
from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS, STAGES, check
from strict import StrictArray

SHAPE = (24, 26, 22)
VOXEL_MM = 4.0
SCAN = Scan((0.004, 0.008, 0.012, 0.016), 3.0, np.diag((VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0)), SHAPE)
OUT_OF_SCOPE = {
    "image": "reads a file on the host, one echo of one coil at a time",
    "coils": "streams coil images from the host; its array code is covered by the tests of its folder",
}
METHODS = [m for m in registry.methods() if m.stage not in OUT_OF_SCOPE]
FEWER = 4
"""Iterations are cut to this: the arithmetic is compared, not the convergence."""


@cache
def scene():
    """A ball with a paramagnetic ball inside and one outside: every artifact that a method can consume."""
    grid = np.meshgrid(*(VOXEL_MM * (np.arange(n) - n / 2 + 0.5) for n in SHAPE), indexing="ij", sparse=True)

    def distance(x, y, z):
        return np.sqrt((grid[0] - x) ** 2 + (grid[1] - y) ** 2 + (grid[2] - z) ** 2)

    def field_ppm(chi, radius, *centre):
        """Analytic: chi/3 (R/r)^3 (3 cos² - 1) outside, 0 inside (Lorentz sphere removed)."""
        r = distance(*centre)
        cosine = (grid[2] - centre[2]) / np.maximum(r, 1e-6)
        return np.where(r > radius, chi / 3 * (radius / np.maximum(r, 1e-6)) ** 3 * (3 * cosine**2 - 1), 0)

    def turned(angle):
        """B0 along the axes of a head that is turned by an angle about one axis, then about another."""
        return (np.sin(angle) * np.cos(2 * angle), np.sin(angle) * np.sin(2 * angle), np.cos(angle))

    rng = np.random.default_rng(0)
    mask = distance(0, 0, 0) < 38
    core = distance(6, -4, 2) < 10
    local = SCAN.hz_per_ppm * field_ppm(0.3, 10, 6, -4, 2)
    total = local + SCAN.hz_per_ppm * field_ppm(9.0, 6, 0, 45, 0) + 5
    r2star = 20 + 30 * core
    te = np.array(SCAN.te_s).reshape(-1, 1, 1, 1)
    noise = rng.normal(size=(2, 4, *SHAPE))
    echoes = (mask + 0.02) * np.exp(-te * r2star + 2j * np.pi * te * total) + 0.01 * (noise[0] + 1j * noise[1])
    values = {
        "echoes": echoes,
        "mask": mask,
        "field_mask": mask,
        "local_mask": mask,
        "noise_sd": 0.01,
        "r2star": r2star * mask,
        "r2star_se": mask * 1.0,
        "s0": mask * 1.0,
        "r2": 0.6 * r2star * mask,
        "r2_se": mask * 0.5,
        "r2prime": (10 + 40 * core) * mask,
        "r2prime_se": mask * 1.0,
        "unwrapped_phase": 2 * np.pi * te * total,
        "total_field": total * mask,
        "local_field": local * mask,
        "field_noise": mask * (1 + 0.1 * rng.random(SHAPE)),
        "chi": 0.3 * core,
        "local_fields": np.stack([local * np.cos(a) * mask for a in np.linspace(0, 1.5, 7)]),
        "field_noises": np.stack([mask * (1 + 0.1 * rng.random(SHAPE)) for _ in range(7)]),
        "b0_dirs": np.array([turned(a) for a in np.linspace(0, 1.5, 7)]),
    }
    return {n: np.ascontiguousarray(v, ARTIFACTS[n].dtype) if np.ndim(v) else v for n, v in values.items()}


def settings(method):
    """Defaults, with every count of iterations cut down."""
    counts = [p for p in method.parameters if "iterations" in p.name and isinstance(p.default, int)]
    return {p.keyword: min(FEWER, p.default) for p in counts}


def call(method, values):
    required = [values[name] for name in method.consumes]
    optional = {name: values[name] for name in method.optional if name in values}
    return method(*required, scan=SCAN, **optional, **settings(method))


@cache
def on_the_host(stage, name):
    return call(registry.find(stage, name), copy.deepcopy(scene()))


@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.stage}-{m.name}")
def test_the_namespace_makes_no_difference(method, xp, to_xp, to_np):
    if method.host and xp is not np:
        pytest.skip("works on host arrays by its nature; the pipeline moves them")
    lacking = set(method.consumes) - set(scene())
    assert not lacking, f"the scene has no {lacking}; add it"
    inputs = {name: to_xp(value.copy() if hasattr(value, "copy") else value) for name, value in scene().items()}
    result, expected = call(method, inputs), on_the_host(method.stage, method.name)
    for name, value in inputs.items():
        np.testing.assert_array_equal(to_np(value), scene()[name], err_msg=f"{name} was changed")
    assert result.record.iterations >= 0
    for name in method.produces:
        ours, host = getattr(result, name), getattr(expected, name)
        if not hasattr(host, "shape"):
            assert ours == host
            continue
        assert type(ours) is type(inputs["mask"]), f"{name} left the namespace"
        check(name, ours, SCAN)
        compare(name, to_np(ours), host)


def compare(name, ours, host):
    """Masks may differ in a voxel in a thousand; maps by what float32 sums in another order differ."""
    if host.dtype == bool:
        assert (ours != host).mean() <= 1e-3
        return
    scale = np.abs(host[np.isfinite(host)]).max(initial=0)
    np.testing.assert_allclose(ours, host, atol=2e-4 * scale, rtol=2e-4, err_msg=name)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.stage}-{m.name}")
def test_maps_are_finite_and_not_empty(method):
    result = on_the_host(method.stage, method.name)
    for name in method.produces:
        value = getattr(result, name)
        if hasattr(value, "shape"):
            assert np.isfinite(value).all(), name
            assert value.any(), name


def test_synchronisations_do_not_grow_with_the_voxels():
    """A conversion to a Python number waits for the device: a few per iteration are paid, one per voxel never."""
    from strict import xp

    for method in METHODS:
        if method.host:
            continue
        before = StrictArray.syncs
        call(method, {n: xp.asarray(v) if isinstance(v, np.ndarray) else v for n, v in scene().items()})
        assert StrictArray.syncs - before < 50, f"{method.stage}.{method.name}"


def test_every_stage_is_covered_or_excused():
    assert {m.stage for m in METHODS} | set(OUT_OF_SCOPE) == set(STAGES)
