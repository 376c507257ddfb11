"""Meaning of variation.cuh, in numpy."""

from __future__ import annotations

import numpy as np


def variation(x, split, keep, radius, step, relax=1.0):
    """The new q, the share of it that is the dual, and ∇ᵀ(q − 2·dual)."""
    dual, gradient = keep * split, np.array([(np.roll(x, -1, axis) - x) / s for axis, s in enumerate(step)])
    z = split - dual
    q = relax * gradient + (1 - relax) * z + dual
    keep = np.minimum(1, radius / np.maximum(np.sqrt((q * q).sum(0)), 1e-300))
    return q, keep, adjoint(q - 2 * keep * q, step)


def adjoint(g, step):
    """Adjoint of the forward differences."""
    return sum((np.roll(part, 1, axis) - part) / s for axis, (part, s) in enumerate(zip(g, step)))
