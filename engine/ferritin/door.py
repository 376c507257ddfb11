"""The door of every public method: arrays of any library and layout in, the map's dtype and C order inside.

torch tensors come in and go out by DLPack without a copy; numpy and cupy arrays pass as they are when they have the
dtype and order of the map (stages.py), and are converted once when they have not.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import DeviceError, InputError
from ferritin.stages import ARTIFACTS, check


def through_the_door(function: Callable[..., Any], host: bool = False) -> Callable[..., Any]:
    """Wrap a method: its artifacts are converted and checked, its products leave as the library that came.

    host: the method works on host arrays alone; arrays of a device are refused, since a copy has to be asked for.
    """
    signature = inspect.signature(function)
    names = [n for n, p in signature.parameters.items() if n in ARTIFACTS and p.kind is not p.KEYWORD_ONLY]

    @functools.wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        came_from_torch = False
        for name in names:
            value = bound.arguments.get(name)
            if ARTIFACTS[name].axes and hasattr(value, "__dlpack__") and hasattr(value, "shape"):
                came_from_torch |= _is_torch(value)
                value = _as_the_map_says(name, value)
                if host and namespace(value) is not np:
                    raise DeviceError(
                        f"{name} is on a device ({type(value).__module__}), and {function.__name__} works on host "
                        f"arrays; pass {name}.get(), or let recon move it"
                    )
                bound.arguments[name] = check(name, value, bound.arguments.get("scan"))
        result = function(*bound.args, **bound.kwargs)
        return _to_torch(result) if came_from_torch else result

    return method


def _as_the_map_says(name: str, value: Any) -> Any:
    """The array in the artifact's dtype and C order; the same object when it is so already."""
    if _is_torch(value):
        value = _from_torch(value)
    dtype = np.dtype(ARTIFACTS[name].dtype)
    if np.dtype(value.dtype).kind == "c" and dtype.kind != "c":
        raise InputError(f"{name} is complex ({value.dtype}), expected {dtype}; pass its magnitude or its phase")
    if value.dtype != dtype:
        value = value.astype(dtype)
    return value if value.flags.c_contiguous else namespace(value).ascontiguousarray(value)


def _is_torch(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch"


def _from_torch(tensor: Any) -> Any:
    tensor = tensor.detach()
    if tensor.device.type == "cpu":
        return tensor.resolve_conj().numpy()
    import cupy

    return cupy.from_dlpack(tensor)


def _to_torch(result: Any) -> Any:
    """A method's named tuple with its arrays as torch tensors that share their memory."""
    torch = sys.modules["torch"]
    arrays = {n: torch.from_dlpack(v) for n, v in result._asdict().items() if hasattr(v, "__dlpack__") and v.ndim}
    return result._replace(**arrays)
