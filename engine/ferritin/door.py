"""The door of every public method: arrays of any library and layout in, the map's dtype and C order inside.

A field that is not a number outside the mask, as many files have it, becomes 0 there; inside it is refused, unless a
noise map tells that the voxel is unknown. A word that is none of a parameter's choices is refused, too.

torch tensors come in and go out by DLPack without a copy; numpy and cupy arrays pass as they are when they have the
dtype and order of the map (stages.py), and are converted once when they have not.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ferritin.backend import namespace
from ferritin.errors import DeviceError, InputError, ParameterError
from ferritin.stages import ARTIFACTS, check

NOISE = {"local_field": "field_noise", "total_field": "field_noise", "local_fields": "field_noises"}
"""The fields that methods take with a mask, and what tells where they are unknown."""


def through_the_door(function: Callable[..., Any], host: bool = False) -> Callable[..., Any]:
    """Wrap a method: its artifacts are converted and checked, its products leave as the library that came.

    host: the method works on host arrays alone; arrays of a device are refused, since a copy has to be asked for.
    """
    signature = inspect.signature(function)
    names = [n for n, p in signature.parameters.items() if n in ARTIFACTS and p.kind is not p.KEYWORD_ONLY]
    words = dict(_words(function))

    @functools.wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        for name, choices in words.items():
            value = bound.arguments.get(name)
            if isinstance(value, str) and value not in choices:
                said = f"{name.rstrip('_')} = '{value}', expected "
                raise ParameterError(said + " or ".join(c if isinstance(c, str) else "a number" for c in choices))
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
        _make_finite(bound.arguments)
        result = function(*bound.args, **bound.kwargs)
        return _to_torch(result) if came_from_torch else result

    return method


def _words(function: Callable[..., Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Keyword arguments that take one of a few words, and those; None among them stands for a number."""
    hints = typing.get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints.get(name)
        if parameter.kind is not parameter.KEYWORD_ONLY or hint is None:
            continue
        parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
        literals = [part for part in parts if typing.get_origin(part) is typing.Literal]
        if literals and str not in parts:
            words = tuple(word for part in literals for word in typing.get_args(part))
            yield name, words + ((None,) if {int, float} & {*parts} else ())


def _make_finite(arguments: dict[str, Any]) -> None:
    """Zeros for what is not a number in a field outside the mask, or where its noise says that it is unknown."""
    mask = arguments.get("mask", arguments.get("field_mask"))
    for name, noise in NOISE.items():
        field, known = arguments.get(name), arguments.get(noise)
        if field is None or mask is None:
            continue
        xp = namespace(field)
        if bool(xp.isfinite(field.sum(dtype=np.float64))):
            continue
        finite = xp.isfinite(field)
        lost = mask & ~finite if known is None else mask & ~finite & (known > 0) & xp.isfinite(known)
        if count := int(lost.sum()):
            raise InputError(
                f"{name} is not a number in {count} voxels of the mask, expected Hz; take them out of the mask, or "
                f"give a {noise} that is 0 in them"
            )
        arguments[name] = xp.where(finite, field, np.float32(0))


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
