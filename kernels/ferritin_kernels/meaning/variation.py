"""Meaning of variation.cuh, in numpy."""

from __future__ import annotations

import numpy as np


def variation(x, dual, radius, step):
    """The new dual, ∇ᵀ(q − 2·dual) and ∇ᵀdual."""
    q = np.array([(np.roll(x, -1, axis) - x) / s for axis, s in enumerate(step)]) + dual
    size = np.sqrt((q * q).sum(0))
    new = q * np.minimum(1, radius / np.maximum(size, 1e-300))
    return new, adjoint(q - 2 * new, step), adjoint(new, step)


def adjoint(g, step):
    """Adjoint of the forward differences."""
    return sum((np.roll(part, 1, axis) - part) / s for axis, (part, s) in enumerate(zip(g, step)))
