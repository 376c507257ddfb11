"""Coil images of a ball of tissue: field, offset, sensitivities and noise by formula, without engine code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ferritin.scan import Scan


@dataclass
class Synthetic:
    """coil_images (coil, echo, x, y, z); echoes: the ideal combination; sensitivities of root sum of squares 1."""

    scan: Scan
    coil_images: np.ndarray
    echoes: np.ndarray
    sensitivities: np.ndarray
    field_hz: np.ndarray
    offset: np.ndarray
    polarity_phase: np.ndarray
    mask: np.ndarray


def synthetic(
    shape=(24, 30, 20),
    te_ms=(4.0, 12.0, 20.0, 28.0),
    n_coils=5,
    snr=60.0,
    peak_hz=120.0,
    polarity=(),
    r2star=30.0,
    seed=0,
    voxel_mm=(4.0, 4.0, 4.0),
) -> Synthetic:
    """A ball with a smooth field of ±peak_hz and a smooth offset, seen by coils around it. Noise sd is 1."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.8
    field = peak_hz * (
        0.6 * np.sin(2.2 * x + 0.4) * np.cos(1.7 * y) + 0.4 * np.exp(-4 * ((x - 0.3) ** 2 + y**2 + z**2))
    )
    offset = 0.7 - 1.2 * (x - 0.1) ** 2 + 0.8 * y * z - 0.5 * y
    polarity_phase = 0.5 + 1.1 * x
    angle = 2 * np.pi * np.arange(n_coils) / n_coils
    at = np.stack([1.4 * np.cos(angle), 1.4 * np.sin(angle), 0.8 * np.sin(2 * angle)], 1)
    distance = np.stack([np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) for a, b, c in at])
    sensitivities = np.exp(-(distance**2) + 1j * (1.5 * distance + rng.uniform(0, 6, n_coils)[:, None, None, None]))
    sensitivities /= np.sqrt((np.abs(sensitivities) ** 2).sum(0))
    te = np.asarray(te_ms)[:, None, None, None] * 1e-3
    echoes = snr * mask * (1 + 0.2 * z) * np.exp(-r2star * te) * np.exp(1j * (offset + 2 * np.pi * field * te))
    for e, sign in enumerate(polarity):
        echoes[e] *= np.exp(1j * polarity_phase * (sign != polarity[0]))
    noise = rng.normal(size=(2, n_coils, len(te_ms), *shape))
    coil_images = sensitivities[:, None] * echoes + noise[0] + 1j * noise[1]
    scan = Scan(
        te_s=tuple(1e-3 * t for t in te_ms), b0_t=7.0, affine=np.diag([*voxel_mm, 1.0]), shape=shape, polarity=polarity
    )
    ideal = (sensitivities.conj()[:, None] * coil_images).sum(0)
    return Synthetic(
        scan,
        coil_images.astype(np.complex64),
        ideal.astype(np.complex64),
        sensitivities,
        field.astype(np.float32),
        offset,
        polarity_phase,
        mask,
    )
