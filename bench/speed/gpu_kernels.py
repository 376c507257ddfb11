"""Every kernel on both devices: largest difference of the twins, voxels per second, and how far from the peak.

Called by gpu.py, whose result file has the rows. Peaks are the device's own figures (clock, cores, memory bus), so the
shares are of what the data sheet promises; a kernel is near its limit when one of the two is near 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import ferritin_kernels as kernels
from ferritin import backend

TE = (0.004, 0.009, 0.014, 0.019, 0.024, 0.030)
EQUAL_TE = (0.005, 0.010, 0.015, 0.020, 0.025, 0.030)
CORES_PER_PROCESSOR = {(7, 5): 64, (8, 0): 64}  # float32 lanes; 128 on all later ones


class Case(NamedTuple):
    """bytes and operations a voxel: what must be read and written, and the multiply-adds counted in the source."""

    run: Callable[[dict[str, Any]], Any]
    bytes: float
    operations: float


def cases() -> dict[str, Case]:
    """One call per kernel and variant, from a dictionary of arrays on either device."""
    n, fitted = len(TE), 14  # bytes of S0, rate, error, status and their flags
    read = 8 * n
    fit = 2.2 * n * 110  # evaluations at 2.2 points: exponential, residual, nine sums
    return {
        "monoexp plain": Case(lambda a: kernels.monoexp(a["echoes"], TE, a["mask"]), read + fitted, fit),
        "monoexp second": Case(
            lambda a: kernels.monoexp(a["echoes"], TE, a["mask"], model="second", noise_sd=0.02), read + fitted, fit
        ),
        "monoexp floor": Case(
            lambda a: kernels.monoexp(a["echoes"], TE, a["mask"], model="floor", noise_sd=0.02), read + fitted + 4, fit
        ),
        "complexfit": Case(
            lambda a: kernels.complexfit(a["echoes"], TE, a["mask"], a["phase"], noise_sd=0.02),
            read + 4 * n + fitted + 16, fit,
        ),
        "monoexp first": Case(
            lambda a: kernels.monoexp(a["echoes"], TE, a["mask"], model="first", noise_sd=0.02), read + fitted, fit
        ),
        "epg": Case(lambda a: kernels.epg(abs(a["echoes"]), EQUAL_TE, a["mask"]), 4 * n + fitted + 4, 40 * n * fit),
        "closed arlo": Case(
            lambda a: kernels.closed_form(a["echoes"], EQUAL_TE, a["mask"], form="arlo"), read + fitted, 40 * n
        ),
        "closed log_linear": Case(
            lambda a: kernels.closed_form(a["echoes"], TE, a["mask"], form="log_linear"), read + fitted, 60 * n
        ),
        "phase": Case(lambda a: kernels.phase(a["echoes"]), 12 * n, 30 * n),
        "phase_line": Case(lambda a: kernels.phase_line(a["echoes"], a["phase"], TE), 12 * n + 8, 20 * n),
        "root_sum_of_squares": Case(lambda a: kernels.root_sum_of_squares(a["echoes"]), read + 4, 4 * n),
        "romeo_weights": Case(
            lambda a: kernels.romeo_weights(
                a["phase"][0], second=a["phase"][1], te_ratio=TE[0] / TE[1], magnitude=a["echoes"][0]
            ), 4 + 4 + 8 + 3, 3 * 70,
        ),
        "romeo_quality": Case(
            lambda a: kernels.romeo_quality(
                a["phase"][0], second=a["phase"][1], te_ratio=TE[0] / TE[1], magnitude=a["echoes"][0]
            ), 4 + 4 + 8 + 4, 3 * 70,
        ),
        "gradient": Case(lambda a: kernels.gradient(a["field"]), 16, 6),
        "divergence": Case(lambda a: kernels.divergence(a["vector"]), 16, 9),
        "gradient walls": Case(lambda a: kernels.gradient(a["field"], periodic=False), 16, 6),
        "laplacian": Case(lambda a: kernels.laplacian(a["field"]), 8, 12),
        "ball_mean 4": Case(lambda a: kernels.ball_mean(a["field"], 4.0), 16, 49 * 2),
        "variation": Case(variation, 4 * (1 + 3 + 3 + 1 + 1 + 1 + 1), 60),
        "box_mean 3": Case(lambda a: kernels.box_mean(a["field"], (3, 3, 3)), 16, 49 * 2),
    }  # fmt: skip


def variation(a: dict[str, Any]) -> tuple[Any, ...]:
    """The first step of a total variation, from splits of zero."""
    xp, x = backend.namespace(a["field"]), a["field"]
    split, keep, pull = xp.zeros((3, *x.shape), np.float32), xp.zeros(x.shape, np.float32), xp.empty_like(x)
    kernels.variation(x, split, keep, pull, xp.abs(a["phase"][0]), limit=0.5, relax=1.8)
    return split, keep, pull


def arrays(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Noisy decays in a smooth field."""
    rng, t = np.random.default_rng(0), np.reshape(TE, (-1, 1, 1, 1)).astype(np.float32)
    r2star = rng.uniform(10, 80, shape).astype(np.float32)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, m, dtype=np.float32) for m in shape), indexing="ij", sparse=True)
    field = (40 * x * y + 30 * z).astype(np.float32)
    phase = (2 * np.pi * t * field + 0.2).astype(np.float32)
    noise = rng.standard_normal((2, t.size, *shape), np.float32)
    echoes = np.exp(-t * r2star + 1j * phase) + np.float32(0.02) * (noise[0] + 1j * noise[1])
    vector = np.ascontiguousarray(np.stack([field * x, field * y, field * z]).astype(np.float32))
    mask = np.ones(shape, bool)
    return {"echoes": echoes.astype(np.complex64), "phase": phase, "field": field, "vector": vector, "mask": mask}


def peaks(device: int) -> tuple[float, float]:
    """Bytes and float32 operations (a multiply-add is two) per second that the device promises."""
    import cupy
    from cupy.cuda import runtime

    attribute = lambda name: runtime.deviceGetAttribute(getattr(runtime, name), device)  # noqa: E731
    *major, minor = cupy.cuda.Device(device).compute_capability  # "90"
    lanes = CORES_PER_PROCESSOR.get((int("".join(major)), int(minor)), 128) * attribute(
        "cudaDevAttrMultiProcessorCount"
    )
    bus = 1e3 * attribute("cudaDevAttrMemoryClockRate") * 2 * attribute("cudaDevAttrGlobalMemoryBusWidth") / 8
    return bus, 2e3 * lanes * attribute("cudaDevAttrClockRate")


def rows(shape: tuple[int, int, int], device: str, event_time: Callable[[Callable], float]) -> list[dict]:
    """Twins on a small volume, times on a large one. event_time: milliseconds of a call on the device."""
    import cupy

    index = int(device.partition(":")[2] or 0)
    small, bandwidth, arithmetic = arrays((40, 38, 36)), *peaks(index)
    with cupy.cuda.Device(index):
        there = {name: cupy.asarray(value) for name, value in small.items()}
        large = {name: cupy.asarray(value) for name, value in arrays(shape).items()}
        out = []
        for name, case in cases().items():
            row = {"kernel": name}
            try:
                row["difference"] = difference(case.run(small), case.run(there))
                row["agree"] = row["difference"] < 1e-3
                case.run(large)
                seconds = 1e-3 * sorted(event_time(lambda c=case: c.run(large)) for _ in range(5))[2]
                voxels = large["field"].size / seconds
                row |= {
                    "ms": 1e3 * seconds,
                    "voxels_per_s": voxels,
                    "share_of_bandwidth": voxels * case.bytes / bandwidth,
                    "share_of_arithmetic": voxels * case.operations * 2 / arithmetic,
                }
            except Exception as why:  # one broken kernel must not hide the others
                row |= {"agree": False, "error": repr(why)}
            out.append(row)
    return out


def difference(host: Any, there: Any) -> float:
    """99.9th percentile of |a - b| over the 99th of |a|, the worst of the maps."""
    worst = 0.0
    for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (host, there))):
        if a is None:
            continue
        b = b.get()
        if a.dtype.kind not in "fc":  # the share of flags that differ, and of numbers that differ by more than rounding
            off = np.abs(a.astype(np.int64) - b.astype(np.int64))
            worst = max(worst, float(np.mean(off > (a.dtype != bool))))
            continue
        fine = np.isfinite(a)
        miss = np.abs(a - b)[fine]
        worst = max(worst, float(np.percentile(miss, 99.9) / max(np.percentile(np.abs(a[fine]), 99), 1e-20)))
    return worst
