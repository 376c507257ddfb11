"""Launch a kernel on the GPU: compiled by NVRTC through CuPy when first asked for, one voxel a thread."""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
THREADS = 128


def options(defines: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """Compiler options: C++17, this folder's headers, and the numbers that the kernel wants at compile time."""
    return ("--std=c++17", f"-I{_HERE}", *(f"-D{name}={value}" for name, value in defines))


def source(kernel: str) -> str:
    """Source text of a kernel's header."""
    return (_HERE / f"{kernel}.cuh").read_text()


@cache
def _sources() -> int:
    """A number that changes with any header: cupy keeps what it compiled by the text and options alone."""
    return zlib.crc32(b"".join(path.read_bytes() for path in sorted(_HERE.glob("*.cuh"))))


@cache
def _function(kernel: str, entry: str, defines: tuple[tuple[str, int], ...]) -> Any:
    import cupy

    defines += (("FERRITIN_SOURCES", _sources()),)
    return cupy.RawModule(code=source(kernel), options=options(defines)).get_function(entry)


def launch(
    kernel: str, arguments: Any, n_voxel: int, defines: dict[str, int] | None = None, entry: str | None = None
) -> None:
    """Run the kernel's entry on the current device and stream. arguments: a 0-d record, passed by value."""
    if n_voxel:
        function = _function(kernel, entry or kernel, tuple(sorted((defines or {}).items())))
        function(((n_voxel + THREADS - 1) // THREADS,), (THREADS,), (arguments,))
