"""A stand-in for a GPU's array namespace: numpy underneath, as unforgiving as cupy outside.

Device code that would only fail where there is a GPU fails here on any machine: a numpy function called on a device
array, a host array mixed into device arithmetic or used as an index, numpy functions and keywords that cupy lacks.
`backend.namespace(x)` finds it through `__ferritin_namespace__`, `backend._companion` through `scipy_fft` and
`scipy_ndimage`. A conversion of one element to a Python number is allowed, as cupy allows it, and counted in `syncs`.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage

# What cupy 14 has not, of what array code might reach for; met when the names of the two packages were compared.
# fmt: off
ABSENT = frozenset((
    "block", "bmat", "emath", "errstate", "frompyfunc", "geomspace", "histogram_bin_edges", "insert", "longdouble",
    "ma", "matrix", "matvec", "memmap", "nanpercentile", "nanquantile", "ndenumerate", "nditer", "polyder",
    "polyint", "seterr", "spacing", "unstack", "vecdot", "vecmat", "distance_transform_bf",
    "distance_transform_cdt", "geometric_transform", "vectorized_filter", "watershed_ift", "get_workers",
    "prev_fast_len", "set_workers", "multi_dot", "svdvals", "vector_norm", "matrix_norm",
))
# fmt: on
# Keywords that scipy or numpy take and cupy does not.
REFUSED_KEYWORDS = frozenset(("workers", "where", "initial"))
# The explicit crossings from the host.
CROSSINGS = frozenset(("array", "asarray", "ascontiguousarray", "asfortranarray", "asanyarray"))


class HostArrayError(TypeError):
    """A host array met device arrays without an explicit crossing."""


def unwrap(x: Any, crossing: bool = False) -> Any:
    """The numpy value of an argument; containers are searched. Raises HostArrayError for a host array."""
    if isinstance(x, StrictArray):
        return x._host
    if isinstance(x, np.ndarray) and not crossing:
        raise HostArrayError(f"host array of shape {x.shape} mixed with device arrays; make it with namespace(x)")
    if isinstance(x, (tuple, list)):
        inner = [unwrap(v, crossing) for v in x]
        return type(x)(*inner) if hasattr(x, "_fields") else type(x)(inner)
    if isinstance(x, dict):
        return {k: unwrap(v, crossing) for k, v in x.items()}
    return x


def wrap(x: Any) -> Any:
    """Arrays, and numpy scalars (cupy's reductions give arrays without axes), to StrictArray; containers searched."""
    if isinstance(x, (np.ndarray, np.generic)):
        return StrictArray(np.asarray(x))
    if isinstance(x, (tuple, list)):
        inner = [wrap(v) for v in x]
        return type(x)(*inner) if hasattr(x, "_fields") else type(x)(inner)
    return x


class _Function:
    """A numpy or scipy function, or ufunc with its methods, that takes and gives device arrays only."""

    def __init__(self, function: Any, name: str):
        self._function, self.__name__ = function, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for name in REFUSED_KEYWORDS & set(kwargs):
            raise TypeError(f"{self.__name__}({name}=...) is not known to cupy")
        if self.__name__ in CROSSINGS and isinstance(args[0], np.ndarray):
            args = (args[0].copy(), *args[1:])  # a device has memory of its own
        crossing = self.__name__ in CROSSINGS
        out = kwargs.get("out", kwargs.get("output"))
        result = self._function(*unwrap(args, crossing), **unwrap(kwargs, crossing))
        return out if isinstance(out, StrictArray) else wrap(result)

    def __getattr__(self, name: str) -> Any:
        return _Function(getattr(self._function, name), f"{self.__name__}.{name}")


class _Namespace(types.ModuleType):
    """A module of numpy or scipy seen through `_Function`."""

    def __init__(self, name: str, module: Any, **more: Any):
        super().__init__(name)
        self.__dict__.update(_module=module, **more)

    def __getattr__(self, name: str) -> Any:
        if name in ABSENT or name.startswith("__"):
            raise AttributeError(f"cupy has no '{name}'")
        value = getattr(self._module, name)
        if isinstance(value, types.ModuleType):
            value = _Namespace(f"{self.__name__}.{name}", value)
        elif callable(value) and not isinstance(value, type):
            value = _Function(value, name)
        setattr(self, name, value)
        return value


class StrictArray:
    """An array that lives on a device of its own: see the module."""

    __array_ufunc__ = None  # numpy's operators hand over to ours, numpy's functions refuse
    __hash__ = None
    syncs = 0  # conversions to Python numbers since the start, over all arrays

    def __init__(self, host: np.ndarray):
        self._host = host

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise HostArrayError("implicit conversion of a device array to numpy; use backend.to_host at a stage border")

    def __array_function__(self, function: Any, *args: Any) -> Any:
        raise HostArrayError(f"numpy.{function.__name__} called on a device array; ask namespace(x) for it")

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any:
        raise HostArrayError("a device array handed to another library; use backend.to_host at a stage border")

    @property
    def __ferritin_namespace__(self) -> Any:
        return xp

    def get(self) -> np.ndarray:
        """A copy on the host: the explicit crossing, by cupy's name."""
        return self._host.copy()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._host, name)
        return _Function(value, name) if callable(value) else wrap(value) if isinstance(value, np.ndarray) else value

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("real", "imag", "shape"):
            setattr(self._host, name, unwrap(value))
        else:
            object.__setattr__(self, name, value)

    def __getitem__(self, index: Any) -> Any:
        return wrap(self._host[unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._host[unwrap(index)] = unwrap(value)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"StrictArray(shape={self._host.shape}, dtype={self._host.dtype})"


def _number(kind: str) -> Any:
    def convert(self: StrictArray) -> Any:
        StrictArray.syncs += 1
        return getattr(self._host, kind)()

    return convert


def _operator(name: str) -> Any:
    def operate(self: StrictArray, *others: Any) -> Any:
        result = getattr(self._host, name)(*unwrap(others))
        if result is NotImplemented:
            return result
        return self if name.startswith("__i") and name != "__invert__" else wrap(result)

    return operate


for _name in ("__bool__", "__int__", "__float__", "__complex__", "__index__"):
    setattr(StrictArray, _name, _number(_name))
for _op in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift", "matmul"):
    for _prefix in ("", "r", "i"):
        setattr(StrictArray, f"__{_prefix}{_op}__", _operator(f"__{_prefix}{_op}__"))
for _op in ("neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne", "divmod"):
    setattr(StrictArray, f"__{_op}__", _operator(f"__{_op}__"))

xp = _Namespace(
    "strict",
    np,
    ndarray=StrictArray,
    scipy_fft=_Namespace("strict.scipy_fft", scipy.fft),
    scipy_ndimage=_Namespace("strict.scipy_ndimage", scipy.ndimage),
)
