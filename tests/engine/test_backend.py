"""FFTs are right, counted and keep single precision; memory and devices are found."""

import numpy as np
import pytest
from click.testing import CliRunner

from ferritin import backend
from ferritin.errors import DeviceError, InputError
from ferritin.run.cli import cli


def test_real_transform_of_a_plane_wave_has_one_peak():
    n = (6, 8, 10)
    x, y, z = np.meshgrid(*(np.arange(m) for m in n), indexing="ij")
    wave = np.cos(2 * np.pi * (x / 6 + 2 * y / 8 + 3 * z / 10)).astype(np.float32)
    spectrum = backend.rfftn(wave)
    assert spectrum.dtype == np.complex64
    assert np.unravel_index(np.abs(spectrum).argmax(), spectrum.shape) == (1, 2, 3)
    assert abs(spectrum[1, 2, 3] - np.prod(n) / 2) < 1e-3


def test_transforms_are_counted_by_volume():
    volume = np.zeros((4, 8, 8, 8), np.float32)
    with backend.count_ffts() as outer:
        with backend.count_ffts() as inner:
            backend.rfftn(volume)
        backend.ifftn(volume[0].astype(np.complex64), axes=(-1,))
    assert inner.count == 4
    assert outer.count == pytest.approx(4 + 1 / 3)


def test_fast_lengths_are_even_and_not_shorter():
    for n in range(1, 200):
        fast = backend.fast_length(n)
        assert fast >= n
        assert fast % 2 == 0


def test_a_device_that_is_not_there_is_an_error_and_auto_is_not():
    assert backend.device_of("cpu") == "cpu"
    for name in ("gpu", "cuda:x", "cuda:", "cuda:-1", "cuda0"):
        with pytest.raises(DeviceError, match="expected auto, cpu, cuda"):
            backend.device_of(name)
    with pytest.raises(DeviceError, match="cuda:97"):
        backend.device_of("cuda:97")


def test_peak_memory_sees_a_large_array_and_can_be_reset():
    if not backend.reset_peak_memory():
        pytest.skip("this system does not let a process reset its peak memory")
    before = backend.peak_memory()
    held = np.ones(20_000_000)
    assert backend.peak_memory() - before > 0.9 * held.nbytes
    del held
    backend.reset_peak_memory()
    assert backend.peak_memory() - before < 80_000_000


def test_a_number_of_threads_that_is_none_is_refused(monkeypatch):
    for given, threads in (("3", 3), ("0", 1)):
        monkeypatch.setenv("FERRITIN_THREADS", given)
        assert backend.cpu_count() == threads
    monkeypatch.setenv("FERRITIN_THREADS", "abc")
    with pytest.raises(InputError, match="FERRITIN_THREADS = 'abc', expected a number"):
        backend.cpu_count()
    with pytest.raises(InputError, match="FERRITIN_THREADS"):
        CliRunner().invoke(cli, ["methods", "r2"], catch_exceptions=False)
