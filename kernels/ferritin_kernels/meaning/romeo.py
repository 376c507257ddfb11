"""Meaning of romeo.cuh and grow.hpp: edge weights by whole-array numpy, region growing by a plain Python loop."""

from __future__ import annotations

from typing import Any

import numpy as np

TURN = 2 * np.pi


def wrapped(x: Any) -> Any:
    """The angle nearest to 0 that differs by whole turns [rad]."""
    return x - TURN * np.round(x / TURN)


def weights(
    phase: np.ndarray,
    mask: np.ndarray | None = None,
    second: np.ndarray | None = None,
    te_ratio: float = 1.0,
    magnitude: np.ndarray | None = None,
    bright: float = 0.0,
    linear: bool = True,
) -> np.ndarray:
    """Weight in [0, 1] of the edge from each voxel to its next along each axis, (3, x, y, z); NaN for no edge."""
    out = np.full((3, *phase.shape), np.nan)
    for axis in range(3):
        if phase.shape[axis] > 1:
            take = lambda a, part, axis=axis: np.moveaxis(a, axis, 0)[part]  # noqa: E731
            first, last = slice(None, -1), slice(1, None)
            a, b = take(phase, first), take(phase, last)
            factors = [1 - np.abs(wrapped(b - a)) / np.pi]
            if second is not None:
                other = wrapped(take(second, last) - take(second, first))
                factors.append(np.maximum(0, 1 - np.abs(wrapped(b - a) - te_ratio * other)))
            if linear:
                factors.append(_linearity(np.moveaxis(phase, axis, 0)))
            if magnitude is not None:
                p, q = take(magnitude, first), take(magnitude, last)
                factors += _magnitude_factors(np.minimum(p, q), np.maximum(p, q), bright)
            w = np.prod([0.1 + 0.9 * f for f in factors], axis=0)
            if mask is not None:
                w = np.where(take(mask, first) & take(mask, last), w, np.nan)
            np.moveaxis(out[axis], axis, 0)[first] = w
    return out


def _linearity(phase: np.ndarray) -> np.ndarray:
    """Coherence of the gradient with the next edge on either side; 0.9 where the volume ends."""
    bend = np.maximum(0, 1 - np.abs(wrapped(phase[:-2] - 2 * phase[1:-1] + phase[2:])) / 2)
    out = np.full((len(phase) - 1, *phase.shape[1:]), 0.9)
    out[1:-1] = bend[:-1] * bend[1:]
    return out


def _magnitude_factors(small: np.ndarray, big: np.ndarray, bright: float) -> list[np.ndarray]:
    factors = [(small / np.maximum(big, 1e-37)) ** 2]
    if bright > 0:
        factors.append(0.5 + 0.5 * np.minimum(1, small / (0.5 * bright)))
        factors.append(0.5 + 0.5 * np.minimum(1, 0.5 * bright / np.maximum(big, 1e-37)))
    return factors


def cost(weight: np.ndarray) -> np.ndarray:
    """Weights as ROMEO's whole-number costs: 1 (best) to 255, 0 for no edge."""
    with np.errstate(invalid="ignore"):
        return np.where(weight > 0, np.clip(np.round((1 - weight) * 255), 1, 255), 0).astype(np.uint8)


def quality(weight: np.ndarray) -> np.ndarray:
    """Mean weight of the edges that meet at each voxel."""
    total, edges = np.zeros(weight.shape[1:]), np.zeros(weight.shape[1:])
    for axis in range(3):
        w = np.moveaxis(weight[axis], axis, 0)
        for side in (slice(None), slice(1, None)):
            part = w if side == slice(None) else w[:-1]
            np.moveaxis(total, axis, 0)[side] += np.nan_to_num(part)
            np.moveaxis(edges, axis, 0)[side] += ~np.isnan(part)
    return total / np.maximum(edges, 1)


def grow(phase: np.ndarray, cost: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Unwrapped phase and regions. One bucket a cost; the edge that came last into the cheapest bucket goes first."""
    out, region = phase.astype(np.float64).ravel(), np.zeros(phase.size, int)
    stride = (phase.shape[1] * phase.shape[2], phase.shape[2], 1)
    flat = cost.reshape(3, -1).astype(int)
    buckets: list[list[tuple[int, int]]] = [[] for _ in range(256)]

    def push(v: int) -> None:
        for axis, s in enumerate(stride):
            for at, to in ((v, v + s), (v - s, v - s)):
                if at >= 0 and flat[axis, at] and not region[to]:
                    buckets[flat[axis, at]].append((at, at + s))

    def spread() -> None:
        while edges := next((b for b in buckets if b), None):
            i, j = edges.pop()
            if not (region[i] and region[j]):
                known, fresh = (i, j) if region[i] else (j, i)
                out[fresh] -= TURN * np.round((out[fresh] - out[known]) / TURN)
                region[fresh] = region[known]
                push(fresh)

    inside = np.ones(phase.size, bool) if mask is None else mask.ravel()
    for v in np.argsort(np.where(flat == 0, 255, flat).sum(axis=0), kind="stable"):
        if inside[v] and not region[v]:
            region[v] = region.max() + 1
            push(v)
            spread()
    return out.reshape(phase.shape), region.reshape(phase.shape)
