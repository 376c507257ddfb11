"""Cost of the default field method on one scan of field_map.py: FFT pairs of the grid, and memory. Prints JSON.

python bench/accuracy/field_map_cost.py WORK/CASE
"""

from __future__ import annotations

import json
import sys
import time
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
    pair, whole = (float(np.median(taken[k])) for k in ("pair", "method"))
    out = {"method": method.name, "echoes": len(echoes), "shape": list(mask.shape), "mask_voxels": int(mask.sum())}
    out |= {"seconds": whole, "fft_pair_seconds": pair, "fft_pairs": whole / pair, "limit_fft_pairs": 60}
    out |= {"volumes_beyond_the_echoes": peak / volume.nbytes, "limit_volumes": 10, "threads": backend.cpu_count()}
    print(json.dumps(out))


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
