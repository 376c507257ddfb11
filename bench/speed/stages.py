"""What every method costs, in units of this machine: its own bare FFTs, FFT pairs of the volume, memory bandwidth.

    python bench/speed/stages.py [--sizes 64 128] [--stage dipole] [--method tv] [--check | --add]

Each method runs in a fresh process at each size; the yardsticks are measured in the same process right after. Writes
bench/results/speed.json. --check compares the ratios with the committed file instead, and fails where one is more than
1.4 times its former value: ratios, so that the machine does not matter.

bare: time over that of the very transforms that the method made (same kinds, sizes and types), one after the other;
near 1 the method costs what its FFTs cost. pairs: time over one forward and inverse real FFT of the volume. passes: how
often a float32 volume could have been copied in the time. volumes: memory taken beyond the inputs, in float32 volumes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
RESULT = HERE.parent / "results" / "speed.json"
STAGES = ("mask", "r2star", "unwrap", "field", "refine", "background", "dipole")
WORSE = 1.4


def seconds_of(run: Callable[[], object], least_s: float = 0.3, most: int = 7) -> float:
    """Median time of a call, after one that does not count unless it took long."""
    times = []
    while len(times) < most and (len(times) < 3 or sum(times) < least_s):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
        if times[0] > 20:
            break
    return median(times[1:] or times)


def measure(stage: str, name: str, size: int) -> dict:
    """Cost of one method on a cube, in this process."""
    from gpu import call, head

    from ferritin import backend
    from ferritin.registry import find

    scan, values = head((size, size, size), 4)
    values |= dict.fromkeys(("field_mask", "local_mask"), values["mask"])
    method = find(stage, name)
    transforms: Counter = Counter()
    bare_transform = backend._transform

    def noted(kind, x, *, axes, **options):
        transforms[kind, x.shape, np.dtype(x.dtype).str, tuple(axes), _shape(options.get("s"))] += 1
        return bare_transform(kind, x, axes=axes, **options)

    backend.reset_peak_memory()
    before = backend.peak_memory()
    backend._transform = noted
    try:
        with backend.count_ffts() as ffts:
            result = call(method, values, scan)
    finally:
        backend._transform = bare_transform
    extra = backend.peak_memory() - before
    seconds = seconds_of(lambda: call(method, values, scan))
    bare = sum(count * _bare(*key) for key, count in transforms.items())
    volume = np.zeros((size,) * 3, np.float32)
    pair = seconds_of(lambda: backend.irfftn(backend.rfftn(volume), volume.shape))
    copied = np.empty_like(volume)
    copy = seconds_of(lambda: np.copyto(copied, volume), most=15)
    return {
        "seconds": seconds, "fft_count": ffts.count, "iterations": result.record.iterations,
        "bare": seconds / bare if bare else None, "pairs": seconds / pair, "passes": seconds / copy,
        "volumes": extra / volume.nbytes, "pair_ms": 1e3 * pair,
    }  # fmt: skip


def _bare(kind: str, shape: tuple, dtype: str, axes: tuple, size: tuple | None) -> float:
    """Time of one transform alone."""
    from ferritin import backend

    x = np.ones(shape, dtype)
    if kind == "irfftn":
        return seconds_of(lambda: backend.irfftn(x, size, axes, overwrite_x=False), 0.1, 4)
    if kind == "rfftn":
        return seconds_of(lambda: backend.rfftn(x, size, axes), 0.1, 4)
    options = {} if size is None else {"s": size}
    return seconds_of(lambda: backend._transform(kind, x, axes=axes, **options), 0.1, 4)


def _shape(size) -> tuple | None:
    return None if size is None else tuple(size)


def in_a_process(stage: str, name: str, size: int, timeout_s: float) -> dict:
    """A row; a failure is said, not raised."""
    row = {"stage": stage, "method": name, "size": size}
    words = [sys.executable, __file__, "--one", stage, name, str(size)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return row | {"status": f"stopped after {timeout_s:g} s"}
    if done.returncode:
        return row | {"status": "failed: " + " ".join(done.stderr.strip().splitlines()[-1:])[-300:]}
    return row | {"status": "ok"} | json.loads(done.stdout.splitlines()[-1])


def worse(rows: list[dict], committed: list[dict]) -> list[str]:
    """Ratios that have grown beyond the limit, in words."""
    former = {(r["stage"], r["method"], r["size"]): r for r in committed if r["status"] == "ok"}
    out = []
    for row in rows:
        old = former.get((row["stage"], row["method"], row["size"]))
        if not old:
            continue
        name = f"{row['stage']}.{row['method']} at {row['size']}"
        if row["status"] != "ok":
            out.append(f"{name}: {row['status']}, was {old['pairs']:.1f} pairs")
            continue
        measure = "bare" if row.get("bare") and old.get("bare") else "passes"
        if row[measure] > WORSE * old[measure]:
            out.append(f"{name}: {measure} {row[measure]:.2f}, was {old[measure]:.2f}")
    return out


def line(row: dict) -> str:
    """A row as text."""
    name = f"{row['stage']:11} {row['method']:14} {row['size']:4d}"
    if row["status"] != "ok":
        return f"{name}  {row['status']}"
    bare = f"{row['bare']:6.2f} x its FFTs" if row["bare"] else " " * 15
    return (
        f"{name} {row['seconds']:9.3f} s {bare} {row['pairs']:8.1f} pairs {row['passes']:9.0f} passes "
        f"{row['volumes']:6.1f} volumes {row['fft_count']:7.1f} FFTs"
    )


def main() -> None:
    """Measure and write, or compare with what is committed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=(64, 96, 128, 192, 256, 384))
    parser.add_argument("--stage", nargs="+", default=STAGES)
    parser.add_argument("--method", nargs="+", default=())
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--check", action="store_true", help="compare with the committed ratios")
    parser.add_argument("--add", action="store_true", help="keep the other rows of the result")
    parser.add_argument("--one", nargs=3)
    a = parser.parse_args()
    if a.one:
        print(json.dumps(measure(a.one[0], a.one[1], int(a.one[2]))))
        return
    from machine import describe

    from ferritin.registry import methods

    rows = []
    for method in (m for stage in a.stage for m in methods(stage)):
        for size in a.sizes:
            if a.method and method.name not in a.method:
                continue
            rows.append(in_a_process(method.stage, method.name, size, a.timeout))
            print(line(rows[-1]), flush=True)
            if rows[-1]["status"].startswith("stopped"):
                break  # a larger one will not do better
    if a.check:
        found = worse(rows, json.loads(RESULT.read_text())["rows"])
        print("\n".join(found) or f"none of {len(rows)} ratios is more than {WORSE} times the committed one")
        sys.exit(bool(found))
    kept = json.loads(a.result.read_text())["rows"] if a.add and a.result.exists() else []
    name = lambda r: (STAGES.index(r["stage"]), r["method"], r["size"])  # noqa: E731
    rows = sorted(({name(r): r for r in kept} | {name(r): r for r in rows}).values(), key=name)
    a.result.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
