"""Arrays on the CPU (numpy) or the GPU (cupy), chosen by what comes in; the FFTs, counted; device and memory.

Array code asks `namespace(x)` for the module that x belongs to and never converts between the two; `to_device` and
`to_host` are the only crossings, and only the pipeline calls them.
"""

from __future__ import annotations

import math
import resource
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage

from ferritin.errors import DeviceError, as_input_error
from ferritin_kernels.cpu import threads


def namespace(*arrays: Any) -> Any:
    """The array module (numpy, cupy, or a stand-in that names itself) that the arrays belong to."""
    for x in arrays:
        if isinstance(x, np.ndarray):
            continue
        root = type(x).__module__.partition(".")[0]
        if root == "cupy":
            return sys.modules["cupy"]
        if hasattr(x, "__ferritin_namespace__"):
            return x.__ferritin_namespace__
    return np


def _companion(xp: Any, name: str) -> ModuleType | Any:
    """scipy's sub-module for the namespace: scipy.fft or cupyx.scipy.fft, and so on."""
    if xp is np:
        return {"fft": scipy.fft, "ndimage": scipy.ndimage}[name]
    if getattr(xp, "__name__", "") == "cupy":
        import importlib

        return importlib.import_module(f"cupyx.scipy.{name}")
    return getattr(xp, f"scipy_{name}")


def ndimage(x: Any) -> Any:
    """scipy.ndimage for the array's device."""
    return _companion(namespace(x), "ndimage")


def cpu_count() -> int:
    """CPU cores that this process may use; FERRITIN_THREADS overrides, InputError when it is no number."""
    with as_input_error():
        return threads()


@dataclass(eq=False)
class FFTCount:
    """3-D transforms done inside a `count_ffts` block; one over some axes counts by their share of the cost.

    box: lengths of the largest volume that was transformed to a half spectrum.
    """

    axes: int = 0
    box: tuple[int, ...] = (0, 0, 0)

    @property
    def count(self) -> float:
        """3-D transforms."""
        return self.axes / 3

    @property
    def pairs(self) -> float:
        """Forward and inverse pairs."""
        return self.count / 2


_counters: list[FFTCount] = []


@contextmanager
def count_ffts():
    """Count the 3-D transforms done inside the block: `with count_ffts() as n: ...; n.count`."""
    counter = FFTCount()
    _counters.append(counter)
    try:
        yield counter
    finally:
        _counters.remove(counter)


def count_transforms(axes: int, box: tuple[int, ...] = (0, 0, 0)) -> None:
    """Count 1-D transforms of whole volumes that are done elsewhere; box as in FFTCount."""
    for counter in _counters:
        counter.axes += axes
        counter.box = max(counter.box, tuple(box), key=math.prod)


def _transform(kind: str, x: Any, *, axes: tuple[int, ...], **options: Any) -> Any:
    xp = namespace(x)
    lead = math.prod(n for i, n in enumerate(x.shape) if i < x.ndim - 3)
    real = kind == "rfftn" and len(axes) == 3
    count_transforms(lead * len(axes), (options["s"] or x.shape[-3:]) if real else (0, 0, 0))
    if xp is np:
        options["workers"] = cpu_count()
    return getattr(_companion(xp, "fft"), kind)(x, axes=axes, **options)


_LAST3 = (-3, -2, -1)


def rfftn(x: Any, shape: tuple[int, ...] | None = None, axes: tuple[int, ...] = _LAST3) -> Any:
    """Real 3-D FFT over the last three axes, unnormalised; zero-pads to `shape`. float32 in, complex64 out."""
    return _transform("rfftn", x, axes=axes, s=shape)


def irfftn(x: Any, shape: tuple[int, ...], axes: tuple[int, ...] = _LAST3, overwrite_x: bool = True) -> Any:
    """Inverse of rfftn to a real array whose last three axes are `shape`. Destroys x unless told not to.

    On the CPU the complex axes are done in place: scipy's own irfftn takes another complex volume for them.
    """
    if namespace(x) is not np or not overwrite_x or x.dtype.kind != "c":
        return _transform("irfftn", x, axes=axes, s=shape, overwrite_x=overwrite_x)
    *lead, last = axes
    if lead:
        x = _transform("ifftn", x, axes=tuple(lead), overwrite_x=True)
    return _transform("irfftn", x, axes=(last,), s=shape[-1:])


def fftn(x: Any, axes: tuple[int, ...] = _LAST3, norm: str = "backward", overwrite_x: bool = False) -> Any:
    """Complex FFT over some axes."""
    return _transform("fftn", x, axes=axes, norm=norm, overwrite_x=overwrite_x)


def ifftn(x: Any, axes: tuple[int, ...] = _LAST3, norm: str = "backward", overwrite_x: bool = False) -> Any:
    """Inverse complex FFT over some axes."""
    return _transform("ifftn", x, axes=axes, norm=norm, overwrite_x=overwrite_x)


def dctn(x: Any, axes: tuple[int, ...] = _LAST3) -> Any:
    """Cosine transform of type 2 over the last three axes, unnormalised: even reflection at the walls, real to real."""
    return namespace(x).ascontiguousarray(_transform("dctn", x, axes=axes))  # cupy gives a view of complex numbers


def idctn(x: Any, axes: tuple[int, ...] = _LAST3, overwrite_x: bool = True) -> Any:
    """Inverse of dctn. Destroys x unless told not to."""
    return namespace(x).ascontiguousarray(_transform("idctn", x, axes=axes, overwrite_x=overwrite_x))


def fast_length(n: int) -> int:
    """The next length with prime factors 2, 3, 5 (7) only, even so that real transforms stay cheap."""
    n += n % 2
    while scipy.fft.next_fast_len(n, real=True) != n:
        n += 2
    return n


def as_float32(x: Any) -> Any:
    """The array as float32, not copied when it is already."""
    return x.astype(np.float32, copy=False)


def device_of(name: str) -> str:
    """Resolve "auto", "cpu", "cuda" or "cuda:n" to a device that is there. Raises DeviceError."""
    if name == "cpu":
        return "cpu"
    kind, _, number = name.partition(":")
    if name != "auto" and not (kind == "cuda" and (number.isdecimal() or name == "cuda")):
        raise DeviceError(f"device '{name}' is not known; expected auto, cpu, cuda or cuda:n")
    index = int(number or 0)
    try:
        import cupy

        found = cupy.cuda.runtime.getDeviceCount()
        if index < found:
            _try_out(index)
    except Exception as why:
        if name == "auto":
            return "cpu"
        raise DeviceError(
            f"device '{name}' asked for, but CUDA cannot be used ({why}); "
            "install ferritin[cuda12] or [cuda13], or use --device cpu"
        ) from why
    if index >= found:
        if name == "auto":
            return "cpu"
        raise DeviceError(f"device '{name}' asked for, but {found} CUDA devices are there; use --device cpu or auto")
    return f"cuda:{index}"


def _try_out(index: int) -> None:
    """A kernel that has to be compiled and a transform: a driver alone can do neither."""
    import cupy
    import cupyx.scipy.fft

    with cupy.cuda.Device(index):
        cupyx.scipy.fft.rfftn(cupy.ones((2, 2, 2), np.float32) + np.float32(1)).sum().item()


def to_device(x: Any, device: str) -> Any:
    """Copy a host array to the device; scalars, None and arrays already there pass."""
    if device == "cpu" or not isinstance(x, np.ndarray):
        return x
    import cupy

    with cupy.cuda.Device(int(device.partition(":")[2])):
        return cupy.asarray(x)


def to_host(x: Any) -> Any:
    """Copy a device array to the host; anything else passes."""
    return x.get() if type(x).__module__.partition(".")[0] == "cupy" else x


@contextmanager
def on_device(device: str):
    """Make a CUDA device the current one inside the block; nothing for "cpu"."""
    if device == "cpu":
        yield
    else:
        import cupy

        with cupy.cuda.Device(int(device.partition(":")[2])):
            yield


def synchronize(device: str) -> None:
    """Wait until the device has finished; nothing for "cpu"."""
    if device != "cpu":
        import cupy

        cupy.cuda.get_current_stream().synchronize()


def reset_peak_memory() -> bool:
    """Start a new count of the host's peak memory; False where the system does not let a process do so."""
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        return False
    return True


def peak_memory() -> int:
    """Peak resident memory [bytes] of this process since the start or the last reset."""
    try:
        with open("/proc/self/status") as f:
            for line in f:
                if line.startswith("VmHWM"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
