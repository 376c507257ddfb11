"""Phase-graph fits of spin echoes beside a numpy dictionary match, interleaved in one process; accuracy and memory.

    python bench/speed/epg.py [--voxels 400000] [--rounds 5]

The match is matrix products of blocks that stay in the cache with unit atoms, and argmax, in float32, on as many
threads as the fit; its grid is T2 20 to 300 ms in steps of 1 ms by angles of 100 to 180 degrees in steps of 1 degree,
which is coarser than what the fit must reach (`accuracy` gives the errors of both). Writes bench/results/epg.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # threads are over blocks

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe

import ferritin_kernels
from ferritin import backend
from ferritin_kernels.meaning.epg import train

SPACING_S, SNR, MATCHED = 0.01, 100, 10_000
T2_S, B1 = np.arange(20, 301) / 1000, np.arange(100, 181) / 180


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results" / "epg.json")
    a = parser.parse_args()
    rows = [row(n, a.voxels, a.rounds, threads) for n in (10, 16, 32) for threads in sorted({1, backend.cpu_count()})]
    result = {
        "machine": describe() | {"load": os.getloadavg()[0]},
        "accuracy": [accuracy(n) for n in (8, 10, 16, 32)],
        "speed": rows,
    }
    a.out.write_text(json.dumps(result, indent=1) + "\n")
    for r in rows:
        words = "{echoes:3} echoes, {threads} threads: fit {fit_us} us, match {match_us} us a voxel: {ratio} x"
        print((words + "; processor time alone {ratio_cpu} x").format(**r))


def times(n: int) -> np.ndarray:
    """Echo times [s]."""
    return SPACING_S * np.arange(1, n + 1)


def accuracy(n: int) -> dict:
    """Largest errors [%] noise-free over T2 20 to 300 ms and angles of 100 to 180 degrees."""
    grid = np.meshgrid(np.linspace(0.0205, 0.2995, 57), np.radians(np.linspace(100, 180, 42)))  # off the match's
    t2, angle = (values.ravel() for values in grid)
    echoes = (1000 * train(1 / t2, angle, n, SPACING_S)).astype(np.float32)
    fit = ferritin_kernels.epg(echoes, times(n))
    best = np.concatenate([match(echoes[:, i : i + 128], atoms(n)) for i in range(0, t2.size, 128)])
    found = T2_S[best // B1.size], np.pi * B1[best % B1.size]
    worst = {"t2": 1 / fit.rate / t2 - 1, "b1": fit.angle / angle - 1}
    worst |= {"match_t2": found[0] / t2 - 1, "match_b1": found[1] / angle - 1}
    return {"echoes": n} | {f"{name}_percent": round(100 * float(abs(e).max()), 4) for name, e in worst.items()}


@cache
def atoms(n: int) -> np.ndarray:
    """Unit atoms (atom, echo) float32."""
    rate, angle = (v.ravel() for v in np.meshgrid(1 / T2_S, np.pi * B1, indexing="ij"))
    signal = train(rate, angle, n, SPACING_S)
    return np.ascontiguousarray((signal / np.linalg.norm(signal, axis=0)).T, np.float32)


def match(echoes: np.ndarray, table: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Index of the best atom of each voxel."""
    return np.matmul(echoes.T, table.T, out=out).argmax(axis=1)


def match_all(echoes: np.ndarray, table: np.ndarray, block: int, threads: int) -> None:
    """Match blocks of voxels on some threads, each with an output of its own."""
    starts = range(0, echoes.shape[1], block)

    def work(first: int) -> None:
        out = np.empty((block, len(table)), np.float32)
        for i in starts[first::threads]:
            part = echoes[:, i : i + block]
            match(part, table, out[: part.shape[1]])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


class Stopwatch:
    """Time of a block per voxel [us]: on the wall, and of the processor, which a busy machine disturbs less."""

    def __init__(self, voxels: int) -> None:
        self.per_voxel = 1e6 / voxels

    def __enter__(self) -> Stopwatch:
        self.start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        wall, processor = time.perf_counter() - self.start[0], time.process_time() - self.start[1]
        self.us, self.cpu_us = self.per_voxel * wall, self.per_voxel * processor


def row(n: int, voxels: int, rounds: int, threads: int) -> dict:
    """Time a voxel [us] of both, the best of the rounds, and the fit's peak memory over its inputs and outputs."""
    rng = np.random.default_rng(0)
    t2, angle = rng.uniform(0.02, 0.3, MATCHED), np.radians(rng.uniform(100, 180, MATCHED))
    signal = np.tile(train(1 / t2, angle, n, SPACING_S), (1, -(-voxels // MATCHED)))[:, :voxels]
    echoes = np.abs(signal + rng.standard_normal(signal.shape) / SNR).astype(np.float32)
    few, table = np.ascontiguousarray(echoes[:, :MATCHED]), atoms(n)
    del signal
    fits, matches, extra = [], [], 0.0
    for k in range(rounds):
        with Stopwatch(MATCHED) as watch:
            match_all(few, table, (16, 32, 64, 128)[k % 4], threads)
        matches.append(watch)
        before = backend.peak_memory() if backend.reset_peak_memory() else 0
        with Stopwatch(voxels) as watch:
            fit = ferritin_kernels.epg(echoes, times(n), threads=threads)
        fits.append(watch)
        extra = max(extra, (backend.peak_memory() - before) / sum(array.nbytes for array in fit))
        last = fit
        del fit
    best = {f"{name}_{kind}": min(getattr(w, kind) for w in watches)
            for name, watches in (("fit", fits), ("match", matches)) for kind in ("us", "cpu_us")}  # fmt: skip
    return {
        "echoes": n,
        "threads": threads,
        "voxels": voxels,
        "atoms": len(table),
        "snr": SNR,
        **{name: round(value, 4) for name, value in best.items()},
        "ratio": round(best["match_us"] / best["fit_us"], 1),
        "ratio_cpu": round(best["match_cpu_us"] / best["fit_cpu_us"], 1),
        "fits_us": [round(w.us, 4) for w in fits],
        "matches_us": [round(w.us, 4) for w in matches],
        "iterations": round(float(last.iterations.mean()), 2),
        "converged": round(float(last.converged.mean()), 5),
        "peak_extra_per_output": round(extra, 2),
    }


if __name__ == "__main__":
    main()
