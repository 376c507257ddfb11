"""A head in several orientations, simulated without the inversion's code: fields of isotropic and tensor sources."""

import numpy as np
import scipy.fft

from properties.fields import scan_of

SHAPE = (40, 36, 38)
VOXEL_MM = (2.0, 2.0, 2.4)


def directions(n, most_deg=60.0, seed=0):
    """B0 along the head's axes in n orientations: upright first, the others tilted to all sides."""
    tilt = np.radians(most_deg) * np.array([0] + [1 - 0.35 * (i % 2) for i in range(n - 1)])
    turn = 2 * np.pi * np.arange(n) / max(n - 1, 1)
    return np.stack((np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)), axis=1)


def sources(seed=0):
    """Random smooth tensors in an ellipsoid, (3, 3, x, y, z) [ppm], and the mask (wider than they are)."""
    rng = np.random.default_rng(seed)
    axes = [(np.arange(n) - n // 2) / (n / 2) for n in SHAPE]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    tensor = np.zeros((3, 3, *SHAPE))
    for p in range(3):
        for q in range(p, 3):
            waves = sum(
                np.cos(rng.uniform(2, 9) * x + rng.uniform(2, 9) * y + rng.uniform(2, 9) * z + rng.uniform(0, 6))
                for _ in range(4)
            )
            tensor[p, q] = tensor[q, p] = 0.02 * waves + (0.03 if p == q == 2 else 0)
    return tensor * np.clip(4 * (0.62 - radius), 0, 1), radius < 0.8


def field_of(tensor, b, pad=2):
    """Field [ppm] of a tensor map: bᵀ(χ/3 − k kᵀχ)b in k-space on a padded grid, float64."""
    shape = [pad * n for n in tensor.shape[2:]]
    k = np.meshgrid(*(np.fft.fftfreq(n, v) for n, v in zip(shape, VOXEL_MM)), indexing="ij")
    k2 = sum(c * c for c in k)
    k2[0, 0, 0] = 1
    spectra = [[scipy.fft.fftn(tensor[p, q], shape) for q in range(3)] for p in range(3)]
    chi_b = [sum(spectra[p][q] * b[q] for q in range(3)) for p in range(3)]
    along = sum(k[p] * b[p] for p in range(3))
    field = sum(b[p] * chi_b[p] for p in range(3)) / 3 - along * sum(k[p] * chi_b[p] for p in range(3)) / k2
    field[0, 0, 0] = 0
    return scipy.fft.ifftn(field).real[tuple(slice(n) for n in tensor.shape[2:])]


def scan():
    return scan_of(SHAPE, VOXEL_MM)
