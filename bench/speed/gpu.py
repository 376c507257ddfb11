"""CPU and GPU twins of every kernel, stage and method, timings at full size, peak device memory.

    python bench/speed/gpu.py [--shape 288 364 416] [--echoes 4]

Writes bench/results/gpu-DATE.json. Needs a CUDA device and cupy; called by scripts/gpu after the tests.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_kernels
from machine import describe

from ferritin import backend
from ferritin.registry import Method, methods
from ferritin.run.config import choose
from ferritin.scan import Scan

STAGES_ON_ARRAYS = ("mask", "r2star", "unwrap", "field", "background", "dipole")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(288, 364, 416))
    parser.add_argument("--echoes", type=int, default=4)
    parser.add_argument("--device", default="cuda:0")
    a = parser.parse_args()
    device = backend.device_of(a.device)
    with backend.on_device(device):
        result = {
            "machine": describe() | {"device": device_name(device)},
            "twins": [twin(m, device) for m in methods() if m.stage in STAGES_ON_ARRAYS],
            "kernels": gpu_kernels.rows(tuple(a.shape), device, event_time),
            "timings": timings(tuple(a.shape), a.echoes, device),
        }
    path = Path(__file__).resolve().parents[1] / "results" / f"gpu-{result['machine']['date']}.json"
    path.write_text(json.dumps(result, indent=1, default=str) + "\n")
    for row in result["timings"]:
        print(f"{row['stage']:12} {row['method']:12} {row.get('ms', 0):10.1f} ms  {row.get('peak_gib', 0):6.2f} GiB")
    for row in result["kernels"]:
        print("{kernel:20} {ms:9.2f} ms {voxels_per_s:9.3g} voxels/s {share_of_bandwidth:6.1%} of the bandwidth, "
              "{share_of_arithmetic:6.1%} of the arithmetic".format(**row) if "ms" in row else str(row))  # fmt: skip
    bad = [t for t in result["twins"] + result["kernels"] if not t["agree"]]
    names = ", ".join(t.get("kernel") or f"{t['stage']}.{t['method']}" for t in bad)
    print(f"{len(result['twins']) + len(result['kernels'])} twins, {len(bad)} differ: {names}")
    sys.exit(bool(bad))


def head(shape: tuple[int, int, int], n_echoes: int) -> tuple[Scan, dict]:
    """A ball of tissue with smaller balls of iron in a smooth background field; every artifact of the chain."""
    te = tuple(1e-3 * (4 + 8 * i) for i in range(n_echoes))
    scan = Scan(te, 7.0, np.diag([0.6, 0.6, 0.6, 1.0]), shape)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    mask = (x**2 + y**2 + z**2 < 0.75**2) & np.ones(shape, bool)
    local = (6 * np.sin(9 * x) * np.sin(8 * y) * np.sin(7 * z)).astype(np.float32) * mask
    total = (local + 40 * (x * z + 0.4 * (x**2 - y**2))).astype(np.float32) * mask
    rng = np.random.default_rng(1)
    echoes = np.empty((n_echoes, *shape), np.complex64)
    phase = np.empty((n_echoes, *shape), np.float32)
    for e, t in enumerate(te):
        phase[e] = 2 * np.pi * t * total + 0.3
        noise = 0.01 * (rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32))
        echoes[e] = mask * np.exp(-30 * t) * np.exp(1j * phase[e]) + noise
    values = {"echoes": echoes, "noise_sd": 0.01, "mask": mask, "unwrapped_phase": phase, "total_field": total,
              "local_field": local, "field_mask": mask, "field_noise": np.where(mask, 0.1, 0).astype(np.float32),
              "s0": mask.astype(np.float32), "r2star": (30 + 3 * local) * mask}  # fmt: skip
    return scan, values


def call(method: Method, values: dict, scan: Scan):
    """The method with its default parameters on the artifacts that it consumes."""
    _, keywords = choose({method.stage: {"method": method.name}}, method.stage)
    optional = {n: values[n] for n in method.optional if n in values}
    return method(*(values[n] for n in method.consumes), scan=scan, **optional, **keywords)


def twin(method: Method, device: str) -> dict:
    """One method on both devices on a small head: largest difference relative to the 99th percentile of the values."""
    scan, values = head((64, 60, 56), 4)
    row = {"stage": method.stage, "method": method.name, "host": method.host}
    try:
        host = call(method, values, scan)
        there = (
            host if method.host else call(method, {k: backend.to_device(v, device) for k, v in values.items()}, scan)
        )
        row["difference"] = {
            n: difference(getattr(host, n), backend.to_host(getattr(there, n))) for n in method.produces
        }
        row["agree"] = all(d < 1e-3 for d in row["difference"].values())
    except Exception as why:  # one broken method must not hide the others
        row |= {"agree": False, "error": repr(why)}
    return row


def difference(a, b) -> float:
    """99.9th percentile of |a - b| over the 99th percentile of |a|; the share of changed voxels for masks."""
    if a is None or np.ndim(a) == 0:
        return 0.0
    if a.dtype == bool:
        return float(np.mean(a != b))
    return float(np.percentile(np.abs(a - b), 99.9) / max(np.percentile(np.abs(a), 99), 1e-20))


def timings(shape: tuple[int, int, int], n_echoes: int, device: str) -> list[dict]:
    """Median of three runs after one warm-up of each stage's default method, device events, peak of the pool."""
    import cupy

    scan, values = head(shape, n_echoes)
    values = {k: backend.to_device(v, device) for k, v in values.items()}
    rows = [fft_pair(shape)]
    for method in (choose({}, s)[0] for s in STAGES_ON_ARRAYS):
        row = {"stage": method.stage, "method": method.name}
        if method.host:
            rows.append(row | {"note": "works on the host"})
            continue
        _forget()
        try:
            call(method, values, scan)
            times = [event_time(lambda m=method: call(m, values, scan)) for _ in range(3)]
            row |= {
                "ms": sorted(times)[1],
                "fft_pairs": sorted(times)[1] / rows[0]["ms"],
                "peak_gib": cupy.get_default_memory_pool().total_bytes() / 2**30,
            }
        except Exception as why:
            row["error"] = repr(why)
        rows.append(row)
    return rows


def _forget() -> None:
    """Give back what earlier work has left on the device: a peak is of one method alone. Plans hold memory, too."""
    import cupy

    cupy.fft.config.get_plan_cache().clear()
    cupy.get_default_memory_pool().free_all_blocks()


def fft_pair(shape: tuple[int, int, int]) -> dict:
    """One bare float32 FFT pair of the grid, the yardstick."""
    import cupy

    x = cupy.random.standard_normal(shape, dtype=cupy.float32)
    pair = lambda: backend.irfftn(backend.rfftn(x), shape)  # noqa: E731
    pair()
    return {"stage": "(yardstick)", "method": "FFT pair", "ms": sorted(event_time(pair) for _ in range(5))[2]}


def event_time(function) -> float:
    """Milliseconds between two device events around the call."""
    import cupy

    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    cupy.cuda.Device().synchronize()
    began = time.perf_counter()
    start.record()
    function()
    stop.record()
    stop.synchronize()
    return max(cupy.cuda.get_elapsed_time(start, stop), 0.0) or 1e3 * (time.perf_counter() - began)


def device_name(device: str) -> str:
    """Name of the device in words."""
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(int(device.partition(":")[2] or 0))["name"].decode()


if __name__ == "__main__":
    main()
