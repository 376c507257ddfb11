"""Filters slab by slab are those of the whole volume; zero parts may be left out, and are counted all the same."""

import numpy as np
import pytest

from ferritin import backend
from ferritin.ops import slabs as slabs_module
from ferritin.ops.sweep import columns, filtered, inverse, planes_forward, planes_inverse


@pytest.mark.parametrize("slab_bytes", [1 << 8, 1 << 18])
@pytest.mark.parametrize("given", [(18, 20, 16), (7, 11, 5)])
@pytest.mark.parametrize("keep", [None, (9, 4, 13)])
def test_filter_of_a_padded_corner(monkeypatch, slab_bytes, given, keep):
    monkeypatch.setattr(slabs_module, "_SLAB_BYTES", slab_bytes)
    shape, rng = (18, 20, 16), np.random.default_rng(0)
    x = rng.standard_normal(given, np.float32)
    factor = np.fft.rfftn(rng.standard_normal(shape)).astype(np.complex64)

    def work(spectrum, part):
        spectrum *= factor[part]

    with backend.count_ffts() as ffts:
        ours = filtered(x, shape, work, keep)
    whole = np.fft.irfftn(np.fft.rfftn(x, shape, axes=(0, 1, 2)) * factor, shape, axes=(0, 1, 2))[
        tuple(slice(n) for n in keep or shape)
    ]
    np.testing.assert_allclose(ours, whole, atol=1e-5 * abs(whole).max())
    assert ours.dtype == np.float32
    assert (ffts.count, ffts.box) == (2, shape)


def test_inverse_of_what_is_written_into_buffers():
    shape, rng = (12, 10, 15), np.random.default_rng(0)
    spectrum = np.fft.rfftn(rng.standard_normal(shape)).astype(np.complex64)
    buffer, out = np.empty_like(spectrum), np.empty((12, 7, 11), np.float32)

    def work(there, part):
        np.multiply(spectrum[part], 2, out=there)

    inverse(buffer, shape, work, out.shape, out.__setitem__)
    np.testing.assert_allclose(out, 2 * np.fft.irfftn(spectrum, shape, axes=(0, 1, 2))[:, :7, :11], atol=1e-5)


@pytest.mark.parametrize("slab_bytes", [1 << 8, 1 << 18])
def test_volumes_that_a_filter_couples(monkeypatch, slab_bytes):
    """The sweeps one by one, with planes that are changed before and others that are taken one by one."""
    monkeypatch.setattr(slabs_module, "_SLAB_BYTES", slab_bytes)
    shape, rng = (12, 10, 15), np.random.default_rng(0)
    a, b, scale = rng.standard_normal((3, *shape), np.float32)
    factor = np.fft.rfftn(rng.standard_normal(shape)).astype(np.complex64)
    got = np.empty(shape, np.float32)

    def work(p, q, part):
        p *= factor[part]
        p += q
        q *= 3

    with backend.count_ffts() as ffts:
        first, second = planes_forward(a, shape), planes_forward(b, shape, lambda s, x: scale[s] * x)
        columns([first, second], work)
        sum_, none = planes_inverse(first, shape), planes_inverse(second, shape, got.__setitem__)
    whole = np.fft.irfftn(np.fft.rfftn(a, axes=(0, 1, 2)) * factor, shape, axes=(0, 1, 2)) + scale * b
    np.testing.assert_allclose(sum_, whole, atol=1e-5 * abs(whole).max())
    np.testing.assert_allclose(got, 3 * scale * b, atol=1e-5)
    assert (none, ffts.count, ffts.box) == (None, 4, shape)
