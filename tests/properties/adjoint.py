"""What every linear operator owes: its adjoint and a bound on its norm that is tight."""

import numpy as np


def dot(a, b):
    return float(np.vdot(np.asarray(a, np.complex128), np.asarray(b, np.complex128)).real)


def assert_adjoint(forward, adjoint, x, y, rtol=1e-5):
    """<A x, y> = <x, Aᴴ y>, relative to the size of the factors."""
    ax, ay = forward(x.copy()), adjoint(y.copy())
    scale = np.sqrt(dot(ax, ax) * dot(y, y)) + np.sqrt(dot(x, x) * dot(ay, ay))
    assert abs(dot(ax, y) - dot(x, ay)) <= rtol * scale


def norm_of(forward, adjoint, x, steps=60):
    """Largest singular value by power iteration."""
    for _ in range(steps):
        x = adjoint(forward(x))
        size = np.sqrt(dot(x, x))
        x = (x / size).astype(np.float32)
    return np.sqrt(size)
