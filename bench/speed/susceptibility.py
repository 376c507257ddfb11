"""What background removal and inversion cost, in this machine's bare FFT pairs: bench/results/susceptibility_cost.json.

    python bench/speed/susceptibility.py [--only tv rts ...] [--size 140 170 130]

Every method runs in a fresh process on a head of that many mm at 1 mm, on all cores that it may use. A pair is one
forward and one inverse real FFT, float32, of the method's own padded box, measured in the same process: the fastest of
several, before and after. What is compared with a limit:

whole: time of a closed form over a pair, and of V-SHARP over a pair for each ball and one more. closed_form is given
    its weight; auto_pairs, told beside it, is for the weight that is taken from the field's noise.
step: time of one more iteration (of a conjugate gradient step for MEDI) over that of the FFTs that it makes.
volumes: the most memory that the process takes beyond the inputs, in float32 volumes of the padded box.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
RESULT = HERE.parent / "results" / "susceptibility_cost.json"
WHOLE = {"tkd": 1.5, "tsvd": 1.5, "closed_form": 2.0}
GIVEN = {"closed_form": {"lambda": 0.01}}
"""Settings of a closed form without what chooses them."""
STEP = {"tv": 1.6, "rts": 1.6, "medi": 1.8}
ITERATIVE = ("tikhonov", "ilsqr", "star", "tfi", "tv", "rts", "medi", "ndi", "fansi_tv", "l1_qsm", "hd_qsm", "wh_qsm")
VOLUMES = dict.fromkeys(ITERATIVE, 14.0) | {"fansi_tgv": 24.0, "tgv": 24.0}
VSHARP = 1.3
FEW, MORE = 5, 15
"""Iterations of the two runs whose difference is the cost of a step; both end on an iteration that is looked at."""
LONG = 35
"""Iterations of the run whose memory is measured: weights are revised and misfits rejected before."""


def head(size: tuple[int, int, int]) -> tuple:
    """An ellipsoid of tissue with a local field of waves, noise and decay; every artifact of the chain."""
    from ferritin.scan import Scan

    shape = tuple(n + 20 for n in size)
    scan = Scan((0.004, 0.012, 0.020, 0.028), 7.0, np.eye(4), shape)
    axes = (np.arange(n, dtype=np.float32) - n / 2 for n in shape)
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    mask = sum((2 * c / n) ** 2 for c, n in zip((x, y, z), size)) < 1
    waves = np.sin(0.31 * x) * np.sin(0.27 * y) * np.sin(0.23 * z)
    noise = np.random.default_rng(1).standard_normal(shape, np.float32)
    field = (6 * waves + 0.3 * noise).astype(np.float32) * mask
    flat = np.where(mask, np.float32(1), 0)
    return scan, {
        "local_field": field, "total_field": field, "mask": mask, "field_mask": mask,
        "field_noise": flat * np.float32(0.3), "s0": flat * (1 + 0.2 * waves), "r2star": flat * (30 + 10 * waves),
    }  # fmt: skip


def call(name: str, scan, values: dict, **settings):
    """A method of either stage; its result."""
    from ferritin.registry import find
    from ferritin.run.config import choose

    stage = "background" if name == "vsharp" else "dipole"
    method = find(stage, name)
    _, keywords = choose({stage: {"method": name} | settings}, stage)
    optional = {n: values[n] for n in method.optional if n in values}
    return method(*(values[n] for n in method.consumes), scan=scan, **optional, **keywords)


def steps(name: str, n: int) -> dict:
    """Settings with which a method makes n steps and stops for no other reason."""
    if name == "medi":
        return {"iterations": 1, "tolerance": 0, "cg_iterations": n, "cg_tolerance": 0}
    if name == "hd_qsm":
        return {"iterations": n, "tolerance": 0, "first_iterations": 1}
    if name == "star":
        return {"iterations": n, "tolerance": 0, "first_iterations": 1}
    return {"iterations": n, "tolerance": 0}


def pair_seconds(box: tuple[int, int, int], times: int = 5) -> float:
    """One forward and one inverse transform of the box."""
    from ferritin import backend

    volume, found = np.ones(box, np.float32), []
    for _ in range(times):
        start = time.perf_counter()
        backend.irfftn(backend.rfftn(volume), box)
        found.append(time.perf_counter() - start)
    return min(found)


def timed(name: str, scan, values: dict, **settings) -> tuple[float, float]:
    """Seconds and FFTs of a call."""
    from ferritin import backend

    with backend.count_ffts() as ffts:
        start = time.perf_counter()
        call(name, scan, values, **settings)
        return time.perf_counter() - start, ffts.count


def cost(name: str, size: tuple[int, int, int]) -> dict:
    """A row of the result, in this process."""
    from ferritin import backend

    scan, values = head(size)
    closed = name in WHOLE or name == "vsharp"
    small = GIVEN.get(name, {}) if closed else steps(name, FEW)
    call(name, *head((16, 16, 16)), **small)  # what is loaded once does not count
    backend.reset_peak_memory()
    before = backend.peak_memory()
    with backend.count_ffts() as ffts:
        call(name, scan, values, **(small if closed else steps(name, LONG)))
    extra = backend.peak_memory() - before
    box = ffts.box if ffts.count else padded(scan, values["mask"])
    row = {"method": name, "box": list(box), "volumes": round(extra / (4 * np.prod(box)), 2)}
    pair = pair_seconds(box)
    if closed:
        seconds, ffts = min(timed(name, scan, values, **small) for _ in range(4))
        pair = min(pair, pair_seconds(box))
        row |= {"seconds": round(seconds, 4), "ffts": ffts, "pair_ms": round(1e3 * pair, 2)}
        row["pairs"] = round(seconds / pair, 3)
        if name in GIVEN:
            row["auto_pairs"] = round(min(timed(name, scan, values) for _ in range(4))[0] / pair, 3)
        if name == "vsharp":
            row["radii"] = radii(scan)
            row["over"] = round(seconds / pair / (row["radii"] + 1), 3)
        return row
    if name == "tgv":
        return row | {"pair_ms": round(1e3 * pair, 2)}
    few = min(timed(name, scan, values, **small) for _ in range(3))
    more = min(timed(name, scan, values, **steps(name, MORE)) for _ in range(3))
    pair = min(pair, pair_seconds(box))
    each, ffts = (more[0] - few[0]) / (MORE - FEW), (more[1] - few[1]) / (MORE - FEW)
    return row | {
        "step_s": round(each, 4), "step_ffts": ffts, "pair_ms": round(1e3 * pair, 2),
        "step": round(each / (ffts / 2 * pair), 3),
    }  # fmt: skip


def radii(scan) -> int:
    """How many balls V-SHARP uses by default."""
    from ferritin.background.vsharp import _radii

    return len(_radii(scan.voxel_mm, 12.0, None))


def padded(scan, mask) -> tuple[int, int, int]:
    """The box of an inversion."""
    from ferritin.inversion.problem import MARGIN_MM
    from ferritin.ops.box import Box

    return Box.around(mask, tuple(MARGIN_MM / v for v in scan.voxel_mm)).shape


def judged(row: dict) -> dict:
    """The row with its limits, and whether they are met."""
    name, limits = row["method"], {}
    if name in WHOLE:
        limits["pairs"] = WHOLE[name]
    if name == "vsharp":
        limits["over"] = VSHARP
    if name in STEP:
        limits["step"] = STEP[name]
    if name in VOLUMES:
        limits["volumes"] = VOLUMES[name]
    return row | {"limits": limits, "met": all(row[key] <= limit for key, limit in limits.items())}


def write(rows: list[dict], every: tuple[str, ...], size: tuple[int, ...]) -> None:
    """The result file: these rows, and those of earlier runs, which `kept` names."""
    from machine import describe

    before = json.loads(RESULT.read_text()) if RESULT.exists() else {"rows": []}
    new = {row["method"]: row for row in rows}
    kept = [row["method"] for row in before["rows"] if row["method"] not in new]
    found = {row["method"]: row for row in before["rows"]} | new
    summary = {"machine": describe(), "size_mm": size, "kept": kept}
    RESULT.write_text(json.dumps(summary | {"rows": [found[n] for n in every if n in found]}, indent=1) + "\n")


def main() -> None:
    """Measure every method in a process of its own and write the result."""
    every = (*WHOLE, "vsharp", *VOLUMES)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=every, default=every, help="keeps the other rows of the file")
    parser.add_argument("--size", type=int, nargs=3, default=(140, 170, 130), help="of the head [mm]")
    parser.add_argument("--one")
    a = parser.parse_args()
    if a.one:
        print(json.dumps(cost(a.one, tuple(a.size))))
        return
    rows = []
    for name in a.only:
        words = [sys.executable, __file__, "--one", name, "--size", *map(str, a.size)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            rows.append({"method": name, "met": False, "failed": done.stderr.strip().splitlines()[-1]})
        else:
            rows.append(judged(json.loads(done.stdout.splitlines()[-1])))
        print(json.dumps(rows[-1]), flush=True)
    write(rows, every, tuple(a.size))
    print("not met: " + (", ".join(r["method"] for r in rows if not r["met"]) or "nothing"))


if __name__ == "__main__":
    main()
