"""Launch a kernel on the CPU: the library for this machine's instruction set, called through ctypes."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_LEVELS = (4, 3, 1, 0)


def threads() -> int:
    """CPU cores that this process may use; FERRITIN_THREADS overrides. ValueError when it is no number."""
    if given := os.environ.get("FERRITIN_THREADS"):
        try:
            return max(1, int(given))
        except ValueError:
            raise ValueError(f"FERRITIN_THREADS = {given!r}, expected a number of CPU cores; set or unset it") from None
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def library(level: int | None = None) -> ctypes.CDLL:
    """The CPU library of one x86-64 level (4, 3, 1; 0 on other machines), or the best that this machine can run."""
    built = [n for n in _LEVELS if (_HERE / f"_cpu_{n}.so").exists()]
    if not built:
        raise ImportError(
            f"the CPU kernels are not built: no _cpu_*.so in {_HERE}; in a checkout run scripts/build, "
            "or install the package with pip"
        )
    if level is None:
        machine = ctypes.CDLL(str(_HERE / f"_cpu_{built[-1]}.so")).ferritin_cpu_level()
        level = max((n for n in built if n <= machine), default=built[-1])
    return ctypes.CDLL(str(_HERE / f"_cpu_{level}.so"))


def launch(kernel: str, arguments: Any, n_threads: int | None = None, level: int | None = None) -> None:
    """Run `ferritin_<kernel>` on its argument record; ctypes lets go of the interpreter lock meanwhile."""
    function = getattr(library(level), f"ferritin_{kernel}")
    function.restype = None
    function(ctypes.c_void_p(arguments.ctypes.data), ctypes.c_int(n_threads or threads()))
