"""What the kernels must show, in one process and interleaved; every figure is a ratio or an error, with its limit.

    python bench/speed/kernels.py [--quick]

The R2* fit beside numba and scipy, the complex fit beside the magnitude fit, ROMEO in FFT pairs, convergence, standard
errors, noise floor and field gradients, spin echoes (epg.py), and the memory that each fit takes. Two threads, some
minutes; --quick takes small sizes, to try the program, and writes nothing unless --result names a file. Writes
bench/results/kernels.json; ends with 1 where a line fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
RESULT = HERE.parent / "results" / "kernels.json"
THREADS = 2


def interleaved(programs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each program, all of them run once in every round, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for k in range(rounds + 1):
        for name, run in programs.items():
            start = time.perf_counter()
            run()
            if k:
                times[name].append(time.perf_counter() - start)
    return {name: median(t) for name, t in times.items()}


def r2star_speed(n: int, rounds: int) -> list[dict]:
    """Three unknowns (S0, R2*, floor) from the same complex echoes: the kernel, numba, and scipy on some voxels."""
    import numba
    import numba_decay
    from kernel_accuracy import TE, TURN, decays, line
    from scipy.optimize import OptimizeWarning, curve_fit

    import ferritin_kernels as kernels

    numba.set_num_threads(THREADS)
    echoes, _, r2star, field = decays(n, 0, (20, 200), (5, 100))
    unwrapped = (TURN * TE[:, None] * field + 0.3).astype(np.float32)
    some = np.abs(echoes[:, :300]).astype(float).T

    def model(t, s0, rate, floor):
        return np.sqrt((s0 * np.exp(-rate * t)) ** 2 + floor**2)

    warnings.simplefilter("ignore", OptimizeWarning)  # of a covariance that cannot be estimated: C at its bound

    def by_scipy():
        for m in some:
            try:
                curve_fit(model, TE, m, p0=(m[0], 30.0, 0.1 * m[-1]))
            except RuntimeError:  # no convergence; the time counts all the same
                continue

    options = {"noise_sd": 0.01, "threads": THREADS}
    seconds = interleaved(
        {
            "floor": lambda: kernels.monoexp(echoes, TE, model="floor", **options),
            "numba, one by one": lambda: numba_decay.fit(numba_decay.one_by_one, echoes, TE),
            "numba, in lanes": lambda: numba_decay.fit(numba_decay.in_lanes, echoes, TE),
            "second": lambda: kernels.monoexp(echoes, TE, model="second", **options),
            "complex": lambda: kernels.complexfit(echoes, TE, None, unwrapped, **options),
            "curve_fit": by_scipy,
        },
        rounds,
    )
    rates = [kernels.monoexp(echoes, TE, model="floor", **options).rate]
    rates += [numba_decay.fit(p, echoes, TE)[1] for p in (numba_decay.one_by_one, numba_decay.in_lanes)]
    apart = [float(np.percentile(np.abs(rates[0] - r), 99)) for r in rates[1:]]
    floor, voxel = seconds["floor"], seconds["floor"] / n
    size = f"{n / 1e6:g}M voxels x {TE.size} echoes, {THREADS} threads"
    return [
        line(f"R2* of three parameters, {size}: numba's one-by-one fit takes so many times as long",
             seconds["numba, one by one"] / floor, 8, "x", most=False, seconds=seconds, p99_apart=apart[0],
             ns_per_voxel=1e9 * voxel, median_error=float(np.median(np.abs(rates[0] - r2star)))),
        line(f"R2* of three parameters, {size}: numba written in lanes like the kernel takes so many times as long",
             seconds["numba, in lanes"] / floor, 8, "x", most=False, p99_apart=apart[1]),
        line("R2* of three parameters, per voxel: scipy curve_fit takes so many times as long",
             seconds["curve_fit"] / len(some) / voxel, 200, "x", most=False),
        line("complex fit (S0, R2*, field, offset, errors) over the magnitude fit (S0, R2*, error)",
             seconds["complex"] / seconds["second"], 3, "x"),
    ]  # fmt: skip


def romeo_speed(shape: tuple[int, int, int], rounds: int) -> list[dict]:
    """Five echoes with noise around the head, in complex64 FFT pairs of the same size by scipy."""
    import scipy.fft
    from kernel_accuracy import line

    import ferritin_kernels as kernels

    te, rng = np.array((0.004, 0.009, 0.014, 0.019, 0.024)), np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    field = 150 * np.exp(-3 * ((x - 0.3) ** 2 + y**2 + (z + 0.2) ** 2)) + 60 * x - 40 * y * z
    head = x**2 + y**2 + z**2 < 0.8
    echoes = np.empty((te.size, *shape), np.complex64)
    for echo, t in zip(echoes, te):
        noise = rng.standard_normal((2, *shape), np.float32)
        echo[...] = np.where(head, 1, 0.05) * np.exp(-20 * t + 2j * np.pi * t * field)
        echo += np.float32(0.03) * (noise[0] + 1j * noise[1])
    volume = echoes[0].copy()

    def pair():
        scipy.fft.ifftn(scipy.fft.fftn(volume, workers=THREADS), workers=THREADS)

    options = {"threads": THREADS}
    seconds = interleaved(
        {
            "pair": pair,
            "whole": lambda: kernels.romeo(echoes, te, **options),
            "head": lambda: kernels.romeo(echoes, te, head, **options),
            "head, retry": lambda: kernels.romeo(echoes, te, head, retry_below=0.5, **options),
        },
        rounds,
    )
    size, unit = "x".join(map(str, shape)), "FFT pairs"
    unwrapped = kernels.romeo(echoes, te, head).phase
    truth = 2 * np.pi * te.reshape(-1, 1, 1, 1) * field
    wrong = float(np.mean(np.abs(unwrapped - truth)[:, head] > np.pi))
    return [
        line(f"ROMEO, {size} x 5 echoes, {what}", seconds[name] / seconds["pair"], 45, unit, seconds=seconds[name],
             pair_s=seconds["pair"], wrong=wrong)
        for what, name in (("whole volume", "whole"), ("in the head", "head"), ("head, with retry", "head, retry"))
    ]  # fmt: skip


def spin_echoes(voxels: int, rounds: int) -> list[dict]:
    """The lines of the phase-graph fit: epg.py in a process of its own, its file read."""
    from kernel_accuracy import line

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "epg.json"
        words = ["--voxels", str(voxels), "--rounds", str(rounds), "--out", str(path)]
        subprocess.run([sys.executable, HERE / "epg.py", *words], check=True, capture_output=True)
        result = json.loads(path.read_text())
    out = [
        line(f"EPG, {a['echoes']} echoes: largest error of {name}, noise-free, T2 20-300 ms, angle 100-180 degrees",
             a[key], limit, "%")
        for a in result["accuracy"] for name, key, limit in (("T2", "t2_percent", 1), ("B1", "b1_percent", 2))
    ]  # fmt: skip
    for r in result["speed"]:
        what = f"{r['echoes']} echoes, {r['threads']} threads"
        out.append(line(f"EPG, {what}: a numpy dictionary match of {r['atoms']} atoms takes so many times as long",
                        r["ratio"], 20, "x", most=False, fit_us=r["fit_us"], match_us=r["match_us"]))  # fmt: skip
    return out


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--result", type=Path)
    a = parser.parse_args()
    os.environ["FERRITIN_THREADS"] = str(THREADS)
    import kernel_accuracy as accuracy
    import kernel_memory
    from machine import describe

    q = a.quick
    began, rows = time.perf_counter(), []
    for make in (
        lambda: r2star_speed(200_000 if q else 2_000_000, 3 if q else 7),
        lambda: romeo_speed((64, 72, 64) if q else (160, 192, 160), 3 if q else 5),
        lambda: accuracy.convergence(500 if q else 20_000),
        lambda: accuracy.standard_errors(2_000 if q else 20_000),
        lambda: accuracy.noise_floor(4_000 if q else 40_000),
        accuracy.gradient,
        lambda: kernel_memory.lines(64 if q else 160),
        lambda: spin_echoes(40_000 if q else 400_000, 2 if q else 3),
    ):
        for row in make():
            rows.append(row)
            sign = "<=" if row["at"] == "most" else ">="
            word = "ok  " if row["pass"] else "FAIL"
            print(f"{word} {row['value']:10.4g} {sign} {row['limit']:g} {row['unit']:9} {row['line']}", flush=True)
    result = {"machine": describe(), "threads": THREADS, "seconds": time.perf_counter() - began, "lines": rows}
    if a.result or not q:
        (a.result or RESULT).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    sys.exit(not all(row["pass"] for row in rows))


if __name__ == "__main__":
    main()
