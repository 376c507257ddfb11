"""Sums over volumes with float64 accumulators."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.ops.slabs import each, slabs


def dot(xp: Any, a: Any, b: Any) -> Any:
    """Sum of a·b over real float32 volumes, a float64 scalar of the arrays' namespace."""
    if xp is np:
        parts = slabs(xp, a.shape)
        sums = np.zeros(parts[-1].stop)  # by slab, so that their order does not depend on the threads

        def add(s: slice) -> None:
            sums[s.start] = np.vdot(a[s], b[s])

        each(add, parts)
        return sums.sum()
    return (a * b).sum(dtype=np.float64)


def ratio(a: Any, b: Any) -> Any:
    """a/b as float32, fit to multiply float32 volumes; b of 0 gives 0."""
    return (a * (b != 0) / (b + (b == 0))).astype(np.float32)
