"""Cost of the default field method on one scan of field_map.py: FFT pairs of the grid, and memory. Prints JSON.

The cost is in CPU time, which a busy machine disturbs less than the clock; the clock's times are told beside it.

python bench/accuracy/field_map_cost.py WORK/CASE
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import ferritin
from ferritin import backend
from ferritin.registry import find

REPEATS = 7


def main() -> None:
    folder = Path(sys.argv[1])
    scan = ferritin.read(folder / "raw.h5")
    echoes = np.load(folder / "echoes.npy")
    noise_sd = json.loads((folder / "noise_sd.json").read_text())
    mask = find("mask")(echoes, scan=scan, noise_sd=noise_sd).mask
    volume = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32)
    method = find("field")

    def fft_pair() -> None:
        backend.irfftn(backend.rfftn(volume), volume.shape)

    fft_pair()
    backend.reset_peak_memory()
    before = backend.peak_memory()
    method(echoes, mask, scan=scan, noise_sd=noise_sd)
    peak = backend.peak_memory() - before
    taken = {"pair": [], "method": []}
    for _ in range(REPEATS):  # by turns, so that a busy machine slows both
        taken["pair"].append(seconds(lambda: [fft_pair() for _ in range(5)]) / 5)
        taken["method"].append(seconds(lambda: method(echoes, mask, scan=scan, noise_sd=noise_sd)))
    pair, whole = ((np.median(taken[k], axis=0)).tolist() for k in ("pair", "method"))
    out = {"method": method.name, "echoes": len(echoes), "shape": list(mask.shape), "mask_voxels": int(mask.sum())}
    out |= {"fft_pairs": whole[1] / pair[1], "fft_pairs_by_the_clock": whole[0] / pair[0], "limit_fft_pairs": 60}
    out |= {"seconds_clock_cpu": whole, "fft_pair_seconds_clock_cpu": pair}
    out |= {"volumes_beyond_the_echoes": peak / volume.nbytes, "limit_volumes": 10, "threads": backend.cpu_count()}
    print(json.dumps(out))


def seconds(work: Callable[[], object]) -> np.ndarray:
    """Clock and CPU seconds of a piece of work."""
    start = time.perf_counter(), time.process_time()
    work()
    return np.subtract((time.perf_counter(), time.process_time()), start)


if __name__ == "__main__":
    main()
