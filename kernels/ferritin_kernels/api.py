"""The contract of all kernels: how arrays become the argument record of a header, and where it is launched.

Arrays are numpy or cupy, C-contiguous; the echo axis comes first and the voxel axes follow in any number. Nothing is
copied: a header reads the caller's memory and writes into the arrays that are returned.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ferritin_kernels import cpu, gpu

_TYPES = {"int": np.int32, "long long": np.int64, "float": np.float32, "double": np.float64}


def struct_name(kernel: str) -> str:
    """Name of a kernel's argument record in its header."""
    return kernel.title().replace("_", "") + "Args"


@cache
def record(kernel: str, name: str | None = None) -> np.dtype:
    """The header's `struct <Kernel>Args` as a numpy dtype, read from the header itself so that the two cannot part."""
    name = name or struct_name(kernel)
    body = re.search(rf"struct {name} {{(.*?)\n}};", _header(kernel), re.DOTALL)
    if body is None:
        raise ImportError(f"the header of {kernel} has no struct {name}")
    fields = re.findall(r"^\s*(?:const )?([a-z ]+?)(\*?) (\w+);", body[1], re.MULTILINE)
    return np.dtype([(field, np.uint64 if star else _TYPES[kind]) for kind, star, field in fields], align=True)


def _header(kernel: str) -> str:
    path = Path(__file__).parent / kernel
    return next(path.with_suffix(s) for s in (".cuh", ".hpp") if path.with_suffix(s).exists()).read_text()


def is_cupy(array: Any) -> bool:
    """Whether an array lives on a GPU."""
    return type(array).__module__.partition(".")[0] == "cupy"


def namespace(array: Any) -> Any:
    """The array module: numpy, cupy, or the one that a stand-in names."""
    return sys.modules["cupy"] if is_cupy(array) else getattr(array, "__ferritin_namespace__", np)


def pointer(array: Any) -> int:
    """Address of an array's first element; 0 for None."""
    if array is None:
        return 0
    return array.data.ptr if is_cupy(array) else array.ctypes.data


def launch(
    kernel: str,
    n_voxel: int,
    arrays: Mapping[str, Any],
    numbers: Mapping[str, Any],
    *,
    defines: Mapping[str, int] | None = None,
    threads: int | None = None,
    entry: str | None = None,
    struct: str | None = None,
) -> None:
    """Fill the argument record and run the kernel where the arrays are. defines: compile-time numbers of the GPU."""
    arguments = np.zeros((), record(kernel, struct))
    for name, array in arrays.items():
        arguments[name] = pointer(array)
    for name, number in numbers.items():
        arguments[name] = number
    if any(is_cupy(array) for array in arrays.values()):
        gpu.launch(kernel, arguments, n_voxel, dict(defines or {}), entry)
    else:
        cpu.launch(entry or kernel, arguments, threads)


def check_echoes(echoes: Any, te_s: Any, fewest: int) -> np.ndarray:
    """Check echoes (echo, ...) against their echo times; return the times as float64 [s]."""
    te = np.asarray(te_s, np.float64)
    if echoes.dtype not in (np.float32, np.complex64):
        raise TypeError(f"echoes have dtype {echoes.dtype}, expected float32 or complex64; convert them with .astype")
    if te.ndim != 1 or echoes.ndim < 1 or echoes.shape[0] != te.size:
        raise ValueError(
            f"echoes of shape {tuple(echoes.shape)} do not fit {te.size} echo times; the echo axis is first"
        )
    if te.size < fewest:
        raise ValueError(
            f"{te.size} echoes are too few for this fit; it needs {fewest} or more: give them, or take another fit"
        )
    if not np.all(np.isfinite(te)) or np.any(np.diff(te) <= 0):
        raise ValueError(f"echo times must increase, got {(1e3 * te).tolist()} ms")
    return te


def check_weights(weights: Any, n_echo: int, fewest: int) -> np.ndarray:
    """One number >= 0 per echo, at least `fewest` of them above 0; ones for None."""
    weight = np.ones(n_echo) if weights is None else np.asarray(weights, np.float64)
    if (
        weight.shape != (n_echo,)
        or not np.all((weight >= 0) & np.isfinite(weight))
        or np.count_nonzero(weight) < fewest
    ):
        raise ValueError(f"weights {weight.tolist()} must be {n_echo} numbers >= 0, {fewest} or more of them above 0")
    return weight


def check_settings(
    noise_sd: float | None = None, coils: int = 1, max_rate: float = 1000.0, max_iterations: int = 1
) -> None:
    """Raise where a number that the fits have in common means nothing."""
    if noise_sd is not None and not (noise_sd > 0 and np.isfinite(noise_sd)):
        raise ValueError(f"noise_sd = {noise_sd}, expected a finite number above 0; leave it out when it is not known")
    if not 1 <= coils < np.inf:
        raise ValueError(f"coils = {coils}, expected 1 or more; 1 for echoes that were combined with their phase")
    if not 0 < max_rate < np.inf:
        raise ValueError(f"max_rate = {max_rate}, expected a finite number above 0; the default is 1000 1/s")
    if not max_iterations >= 1:
        raise ValueError(f"max_iterations = {max_iterations}, expected 1 or more; the default is 60")


def contiguous(name: str, array: Any) -> Any:
    """The array itself; raises when a kernel could not read it in place."""
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous (strides {array.strides}); pass xp.ascontiguousarray({name})")
    return array


def check_mask(mask: Any, shape: tuple[int, ...]) -> Any:
    """A bool or uint8 mask of the voxels' shape, viewed as uint8; None passes."""
    if mask is None:
        return None
    if tuple(mask.shape) != tuple(shape) or mask.dtype not in (np.bool_, np.uint8):
        raise ValueError(f"mask is {mask.dtype} {tuple(mask.shape)}, expected bool {tuple(shape)}")
    return contiguous("mask", mask).view(np.uint8)
