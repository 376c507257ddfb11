"""Heads of simple shape for tests of masks: brain, skull with one bridge, scalp, under a receive profile."""

from __future__ import annotations

import numpy as np

from ferritin.scan import Scan


def head(shape=(50, 60, 48), voxel=(3.0, 3.0, 3.0), noise=1.0, seed=0, profile=1.5):
    """Echoes of a brain with a void, a dark skull with one bridge and a bright scalp, under a steep profile.

    Returns (echoes, scan, brain, r): r is the elliptic radius, the brain ends at 0.85, the scalp begins at 0.97.
    """
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*((np.arange(n) - n / 2) * v for n, v in zip(shape, voxel)), indexing="ij")
    r = np.sqrt((x / 60) ** 2 + (y / 72) ** 2 + (z / 56) ** 2)
    brain = r < 0.85
    amplitude = 30.0 * brain + 40.0 * ((r > 0.97) & (r < 1.08))
    amplitude[(np.abs(x) < 4) & (y > 0) & (np.abs(z) < 4) & (r < 1)] = 30  # an emissary vein through the skull
    amplitude[np.sqrt((x - 20) ** 2 + y**2 + z**2) < 8] = 0  # a haemorrhage
    amplitude *= np.exp(profile * (r - 0.5) + 0.008 * y)
    te = np.array([0.004, 0.012, 0.02])[:, None, None, None]
    echoes = amplitude * np.exp(-30 * te + 2j * np.pi * 20 * te)
    echoes = echoes + noise * (rng.normal(size=echoes.shape) + 1j * rng.normal(size=echoes.shape))
    scan = Scan(te_s=(0.004, 0.012, 0.02), b0_t=7.0, affine=np.diag([*voxel, 1.0]), shape=shape)
    return echoes.astype(np.complex64), scan, brain, r


def dice(a, b):
    """Overlap of two masks: 1 for the same, 0 for nothing in common."""
    return 2 * (a & b).sum() / (a.sum() + b.sum())
