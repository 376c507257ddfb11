"""Elementwise work on volumes in slabs that fit the processor's cache, on all cores; in one piece on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from ferritin.backend import cpu_count, namespace

_SLAB_BYTES = 1 << 18


def slabs(xp: Any, shape: tuple[int, ...]) -> list[slice]:
    """Slices along the first axis: about a quarter MiB of float32 each on the CPU, everything elsewhere."""
    if xp is not np:
        return [slice(0, shape[0])]
    thick = max(1, _SLAB_BYTES // (4 * int(np.prod(shape[1:]))))
    return [slice(a, min(a + thick, shape[0])) for a in range(0, shape[0], thick)]


def each(work: Callable[[slice], None], parts: list[slice], *, neighbours: bool = False) -> None:
    """Call work on every slab, on all cores. With `neighbours`, no two adjacent slabs are worked on at once."""
    if len(parts) == 1 or cpu_count() == 1:
        for part in parts:
            work(part)
        return
    # The last of an odd number of slabs is the neighbour of the first, too: the volume is periodic.
    turns = [parts[0:-1:2], parts[1:-1:2], parts[-1:]] if neighbours else [parts]
    for turn in turns:
        left = iter(turn)
        for _ in _pool(cpu_count()).map(lambda _, left=left: _until_none(work, left), range(cpu_count())):
            pass


def _until_none(work: Callable[[slice], None], left: Iterator[slice]) -> None:
    """One thread's share: a task for each slab would cost more than many a slab's work."""
    for part in left:
        work(part)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="slab")


def multiply(x: Any, factor: Any) -> None:
    """x *= factor, in slabs."""
    xp = namespace(x)

    def part(s: slice) -> None:
        xp.multiply(x[s], factor[s], out=x[s])

    each(part, slabs(xp, x.shape))


def add_scaled(x: Any, a: Any, y: Any) -> None:
    """x += a·y, in slabs; a is a number."""
    xp = namespace(x)

    def part(s: slice) -> None:
        here = x[s]
        here += a * y[s]

    each(part, slabs(xp, x.shape))
