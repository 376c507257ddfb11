"""Conjugate gradients for symmetric positive operators given as callables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferritin.backend import namespace
from ferritin.ops.slabs import add_scaled, each, slabs
from ferritin.solvers.reduction import dot, ratio
from ferritin.solvers.stopping import Stopping


def conjugate_gradients(
    xp: Any,
    operator: Callable[[Any], Any],
    rhs: Any,
    stop: Stopping,
    *,
    start: Any = None,
    precondition: Callable[[Any], Any] | None = None,
) -> Any:
    """x with operator(x) = rhs; `stop` watches the residual's norm relative to that of rhs.

    rhs, start: real float32 arrays; start (default 0) is not changed. `precondition` is symmetric and positive.
    """
    x = xp.zeros_like(rhs) if start is None else start.copy()
    size = dot(xp, rhs, rhs)
    r = rhs.copy() if start is None else rhs - operator(x)
    del rhs
    z = r if precondition is None else precondition(r)
    p, rz = z.copy(), dot(xp, r, z)
    while True:
        q = operator(p)
        alpha = ratio(rz, dot(xp, p, q))
        add_scaled(x, alpha, p)
        add_scaled(r, -alpha, q)
        del q
        if stop.step(ratio(dot(xp, r, r), size) ** 0.5 if stop.due else None):
            return x
        z = r if precondition is None else precondition(r)
        rz, old = dot(xp, r, z), rz
        _scale_and_add(p, ratio(rz, old), z)


def _scale_and_add(p: Any, a: Any, z: Any) -> None:
    """p = a·p + z, in slabs."""

    def part(s: slice) -> None:
        here = p[s]
        here *= a
        here += z[s]

    each(part, slabs(namespace(p), p.shape))
