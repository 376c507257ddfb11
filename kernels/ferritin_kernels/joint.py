"""The steps of the joint field estimator on the voxels of a mask: contracts of joint.hpp. Host arrays only.

A mask's n voxels are listed in the order of memory; everything else is (n, ...), so that voxels outside cost nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ferritin_kernels import api

MAX_ECHOES = 64


class Graph(NamedTuple):
    """Voxels of a mask: flat index (n,) int32, and neighbours (n, 6) int32 in (-x, +x, -y, +y, -z, +z), -1 for none."""

    voxel: np.ndarray
    neighbour: np.ndarray


class Samples(NamedTuple):
    """Phase [rad] and power of the echoes in the voxels of a mask, (n, echo) float32; noise sd of one component."""

    graph: Graph
    phase: np.ndarray
    power: np.ndarray
    te_s: np.ndarray
    noise_sd: float

    def arrays(self) -> dict[str, Any]:
        """Arrays that every step reads."""
        return {
            "phase": self.phase,
            "power": self.power,
            "neighbour": self.graph.neighbour,
            "te": self.te_s,
        }

    def numbers(self) -> dict[str, Any]:
        """Numbers that every step reads."""
        return {"n": len(self.phase), "n_echo": self.te_s.size, "noise_sd": self.noise_sd}


class Settled(NamedTuple):
    """Field [Hz], its variance [Hz²] and the chance that a turn is wrong, (n,) float32; and how many voxels were solved
    anew, how many moved by cuts."""

    field: np.ndarray
    variance: np.ndarray
    wrong: np.ndarray
    n_doubtful: int
    n_moved: int


def joint_graph(mask: np.ndarray) -> Graph:
    """The graph of a mask (x, y, z) bool."""
    if mask.ndim != 3 or mask.size >= 2**31:
        raise ValueError(f"mask has shape {mask.shape}, expected (x, y, z) with less than 2^31 voxels")
    flags = api.check_mask(mask, mask.shape)
    n = int(np.count_nonzero(flags))
    graph = Graph(np.empty(n, np.int32), np.empty((n, 6), np.int32))
    nx, ny, nz = mask.shape
    api.launch(
        "joint",
        n,
        {"mask": flags, "voxel": graph.voxel, "neighbour": graph.neighbour},
        {"n_total": mask.size, "n": n, "nx": nx, "ny": ny, "nz": nz},
        entry="joint_graph",
        struct="JointGraphArgs",
    )
    return graph


def joint_samples(
    graph: Graph, echoes: np.ndarray, te_s: Any, noise_sd: float, *, threads: int | None = None
) -> Samples:
    """Phase and power of complex64 echoes (echo, x, y, z) in the graph's voxels; samples that are not finite are 0."""
    te = api.check_echoes(echoes, te_s, 2)
    if echoes.dtype != np.complex64 or te.size > MAX_ECHOES:
        raise ValueError(f"{te.size} echoes of {echoes.dtype}, expected complex64 and at most {MAX_ECHOES}")
    n = graph.voxel.size
    phase, power = np.empty((2, n, te.size), np.float32)
    samples = Samples(graph, phase, power, te.astype(np.float32), float(noise_sd))
    api.launch(
        "joint",
        n,
        {"echoes": api.contiguous("echoes", echoes), "voxel": graph.voxel, "phase": phase, "power": power},
        {"n_total": echoes[0].size, "n": n, "n_echo": te.size},
        entry="joint_polar",
        struct="JointPolarArgs",
        threads=threads,
    )
    return samples


def joint_steps(samples: Samples, reach_hz: float, *, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the field [Hz] to the next voxel along each axis, (n, 3) float32, and their costs (n, 3) uint8.

    The step with the highest likelihood within ±reach, given the phase differences of all echoes; cost 1 is sure, 255
    leaves another step as likely.
    """
    n = len(samples.phase)
    step, cost = np.zeros((n, 3), np.float32), np.full((n, 3), 255, np.uint8)
    last = float(samples.te_s[-1])
    trials = int(np.clip(np.ceil(8 * reach_hz * last), 8, 256)) + 1  # four a turn of the last echo
    api.launch(
        "joint",
        n,
        samples.arrays() | {"step": step, "cost": cost},
        samples.numbers() | {"n_trial": trials, "reach": reach_hz},
        entry="joint_steps",
        struct="JointStepsArgs",
        threads=threads,
    )
    return step, cost


def joint_grow(graph: Graph, step: np.ndarray, cost: np.ndarray, growth: np.ndarray, lapse_s: float) -> np.ndarray:
    """Unwrap `growth` (n,) [rad], 2π · field · lapse, in place along the cheapest edges; regions (n,) from 1 on."""
    region = np.zeros(growth.shape, np.int32)
    api.launch(
        "joint",
        growth.size,
        {"step": step, "cost": cost, "neighbour": graph.neighbour, "growth": growth, "region": region},
        {"n": growth.size, "lapse": lapse_s},
        entry="joint_grow",
        struct="JointGrowArgs",
    )
    return region


def joint_linear(
    samples: Samples,
    field: np.ndarray,
    group: np.ndarray | None = None,
    *,
    dephased_s: float = 0.0,
    threads: int | None = None,
) -> np.ndarray:
    """Refine `field` (n,) [Hz] in place by a linear fit with one offset per group of echoes; return the offsets.

    group: (echo,) int32 from 0 on; the start must be within half a turn over the first two echoes of each group.
    dephased_s: offsets count less where the field varies by about one turn a voxel in this time.

    Returns (n, group) complex64: the offset's phasor, its length the trust in it, 1 / (variance + 0.01).
    """
    group = np.zeros(samples.te_s.size, np.int32) if group is None else np.ascontiguousarray(group, np.int32)
    n_group = int(group.max()) + 1
    offset = np.empty((field.size, n_group), np.complex64)
    api.launch(
        "joint",
        field.size,
        samples.arrays() | {"group": group, "field": field, "offset": offset},
        samples.numbers() | {"n_group": n_group, "dephased": dephased_s},
        entry="joint_linear",
        struct="JointLinearArgs",
        threads=threads,
    )
    return offset


def joint_settle(
    samples: Samples,
    field: np.ndarray,
    region: np.ndarray,
    lapse_s: float,
    hz_per_ppm: float,
    *,
    threads: int | None = None,
) -> Settled:
    """The field from phases whose offset has been taken off, from a start that may hold wrong turns.

    lapse_s: 1/lapse [Hz] is by how much the start may be mistaken, besides 1/TE1.
    hz_per_ppm: of B0; scales what the structure inside a voxel adds to the variance.
    """
    field, variance, wrong, counts = field.copy(), np.empty_like(field), np.empty_like(field), np.zeros(2, np.int32)
    api.launch(
        "joint",
        field.size,
        samples.arrays() | {"region": region, "field": field, "variance": variance, "wrong": wrong, "counts": counts},
        samples.numbers() | {"lapse": lapse_s, "hz_per_ppm": hz_per_ppm},
        entry="joint_settle",
        struct="JointSettleArgs",
        threads=threads,
    )
    return Settled(field, variance, wrong, int(counts[0]), int(counts[1]))
