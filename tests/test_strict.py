"""The stand-in refuses what cupy refuses, and computes what numpy computes."""

import numpy as np
import pytest

from ferritin import backend
from strict import HostArrayError, StrictArray, xp

HOST = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.fixture
def x():
    return xp.asarray(HOST)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda x: np.asarray(x),
        lambda x: np.sqrt(x),
        lambda x: np.sum(x),
        lambda x: np.where(x > 1, x, 0),
        lambda x: np.float32(x),
        lambda x: x + HOST,
        lambda x: HOST * x,
        lambda x: x[HOST > 2],
        lambda x: x.__setitem__(..., HOST),
        lambda x: x.sum(where=x > 2),
        lambda x: xp.stack([x, HOST]),
        lambda x: xp.add(x, x, out=np.empty_like(HOST)),
        lambda x: xp.scipy_fft.rfftn(x, workers=2),
        lambda x: HOST.__iadd__(x),
    ],
)
def test_host_and_device_do_not_mix(x, misuse):
    with pytest.raises(TypeError):
        misuse(x)


def test_what_cupy_lacks_is_not_there():
    with pytest.raises(AttributeError, match="cupy has no 'nditer'"):
        _ = xp.nditer


@pytest.mark.parametrize(
    ("device", "host"),
    [
        (lambda x, m: 2 * x - x / np.float32(3) + 1j, lambda: 2 * HOST - HOST / np.float32(3) + 1j),
        (lambda x, m: np.float32(2) * x**2 % 5, lambda: np.float32(2) * HOST**2 % 5),
        (lambda x, m: m.where((x > 3) & ~(x > 7), x, -1), lambda: np.where((HOST > 3) & ~(HOST > 7), HOST, -1)),
        (lambda x, m: m.add.reduce(x, axis=0), lambda: HOST.sum(0)),
        (lambda x, m: x.T[1:, ::2].reshape(-1), lambda: HOST.T[1:, ::2].reshape(-1)),
        (lambda x, m: m.linalg.norm(x), lambda: np.linalg.norm(HOST)),
        (lambda x, m: x[m.nonzero(x > 5)], lambda: HOST[np.nonzero(HOST > 5)]),
        (lambda x, m: m.exp(1j * x, out=m.empty(x.shape, m.complex64)), lambda: np.exp(1j * HOST)),
        (lambda x, m: m.meshgrid(m.arange(2), m.arange(3))[0], lambda: np.meshgrid(np.arange(2), np.arange(3))[0]),
    ],
)
def test_computes_as_numpy(x, device, host):
    result = device(x, xp)
    assert isinstance(result, StrictArray)
    np.testing.assert_allclose(result.get(), host(), rtol=1e-6)


def test_in_place_keeps_identity_and_out_returns_it(x):
    before = x
    x += 1
    x *= x
    assert x is before
    out = xp.empty_like(x)
    assert xp.multiply(x, 2, out=out) is out
    np.testing.assert_array_equal(out.get(), 2 * (HOST + 1) ** 2)
    np.testing.assert_array_equal(xp.asarray(HOST).get(), HOST)


def test_real_and_imaginary_parts_are_views():
    z = xp.zeros((3, 4), np.complex64)
    z.imag[1] = 2
    z.real = 1
    np.testing.assert_array_equal(z.get()[1], 1 + 2j)


def test_numbers_are_counted_as_synchronisations(x):
    before = StrictArray.syncs
    assert float(x.sum()) == HOST.sum()
    assert x.max() > 20
    assert StrictArray.syncs == before + 2


def test_backend_finds_it_and_its_companions(x):
    assert backend.namespace(x) is xp
    spectrum = backend.rfftn(x)
    assert isinstance(spectrum, StrictArray)
    back = backend.irfftn(spectrum, (2, 3, 4))
    np.testing.assert_allclose(back.get(), HOST, atol=1e-5)
    assert isinstance(backend.ndimage(x).gaussian_filter(x, 1.0), StrictArray)
    with pytest.raises(HostArrayError):
        backend.ndimage(x).gaussian_filter(HOST, 1.0)
