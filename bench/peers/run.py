"""The engine's stages beside programs that anyone can install, on the same data in the same run.

    python bench/peers/run.py [--voxel 2.5] [--task unwrap ...] [--only NAME] [--work FOLDER]

Each program runs in a fresh process: one call that does not count when it took less than 10 s, then the median of
three. Writes bench/results/peers.json and peers.md. What is not installed is skipped, and said.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
NOT_SCORES = ("task", "name", "ours", "version", "about", "status", "seconds", "first_s", "repeats", "extra_bytes",
              "cpu_seconds", "time_over_default", "cpu_over_default")  # fmt: skip
TASKS = ("unwrap", "r2star", "coils", "background", "dipole")
REMARKS = {
    "dipole": "ferritin tkd is the textbook's map times 1.22, which the cut takes from a point source (Schweser 2013). "
    "Streaks and noise grow with it: on another head (2 mm, true local field) NRMSE is 33.8 % with it and 30.2 % "
    "without, detrended 31.3 % both, and the slope in deep grey matter 1.07 in place of 0.87.",
}
"""What explains a row that is worse than its peer."""


def entries():
    """All entries, by importing the files of the tasks."""
    import coils
    import decay
    import entry
    import fields
    import unwrap

    scores = {
        "unwrap": unwrap.score, "r2star": decay.score, "coils": coils.score,
        "background": lambda v, s: fields.score(v, s, "local_field"),
        "dipole": lambda v, s: fields.score(v, s, "chi"),
    }  # fmt: skip
    return entry.ENTRIES, scores


def measure(one, score, scene) -> dict:
    """Time one entry in this process and score its result."""
    from ferritin.backend import peak_memory, reset_peak_memory

    run = one.prepare(scene)
    reset_peak_memory()
    before = peak_memory()
    times, cpu, values = [], [], None
    for _ in range(4):
        start, worked = time.perf_counter(), processor_seconds()
        values = run()
        times.append(time.perf_counter() - start)
        cpu.append(processor_seconds() - worked)
        if times[0] > 10 and len(times) >= (1 if times[0] > 60 else 2):
            break
    counted = times[1:] or times
    result = {"seconds": median(counted) / one.share, "first_s": times[0] / one.share, "repeats": len(counted)}
    result["cpu_seconds"] = median(cpu[1:] or cpu) / one.share
    result["extra_bytes"] = max(peak_memory() - before, 0)
    return result | score(np.asarray(values), scene)


def processor_seconds() -> float:
    """CPU time of this process with its threads, and of the programs that it has run."""
    programs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + programs.ru_utime + programs.ru_stime


def in_a_process(one, arguments: argparse.Namespace) -> dict:
    """A row for an entry; a failure is said, not raised."""
    row = {"task": one.task, "name": one.name, "ours": one.ours, "version": one.version(), "about": one.about}
    if missing := one.missing():
        return row | {"status": f"skipped: {missing} is not installed"}
    words = [sys.executable, __file__, "--one", one.task, one.name]
    words += ["--work", arguments.work, "--voxel", arguments.voxel]
    try:
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=arguments.timeout)
    except subprocess.TimeoutExpired:
        return row | {"status": f"stopped after {arguments.timeout:g} s"}
    if done.returncode:
        return row | {"status": "failed: " + " ".join(done.stderr.strip().splitlines()[-1:])[-300:]}
    return row | {"status": "ok"} | json.loads(done.stdout.splitlines()[-1])


def with_ratios(rows: list[dict]) -> list[dict]:
    """Add each row's time over the fastest of the engine's methods of the task, and over the engine's default."""
    from ferritin.stages import STAGES

    for row in rows:
        name = f"ferritin {STAGES[row['task']].default}"
        default = next((r for r in rows if (r["task"], r["name"], r["status"]) == (row["task"], name, "ok")), None)
        if row["status"] == "ok" and default:
            row["time_over_default"] = row["seconds"] / default["seconds"]
            row["cpu_over_default"] = row["cpu_seconds"] / default["cpu_seconds"]
    return rows


def table(rows: list[dict]) -> str:
    """The rows as Markdown, a table for each task; the ratio is to the engine's default of the task."""
    parts = []
    for task in TASKS:
        some = [r for r in rows if r["task"] == task]
        done = sorted((r for r in some if r["status"] == "ok"), key=lambda r: (not r["ours"], r["name"]))
        if not done:
            continue
        names = [k for k in dict.fromkeys(k for r in done for k in r) if k not in NOT_SCORES]
        parts.append(f"\n## {task}\n")
        columns = ["program", "version", "time, ms", "ratio", "CPU ratio", *map(_spoken, names)]
        parts.append("| " + " | ".join(columns) + " |")
        parts.append("|---|---|" + "---:|" * (3 + len(names)))
        for r in done:
            cells = [r["name"], r["version"], f"{1e3 * r['seconds']:.3g}"]
            cells += [f"{r[k]:.3g}" if k in r else "" for k in ("time_over_default", "cpu_over_default")]
            parts.append("| " + " | ".join(cells + [f"{r[n]:.3g}" if n in r else "" for n in names]) + " |")
        other = [f"{r['name']} ({r['status'].removeprefix('skipped: ')})" for r in some if r["status"] != "ok"]
        if other:
            parts.append("\nWithout a result: " + "; ".join(other) + ".")
        if task in REMARKS:
            parts.append("\n" + REMARKS[task])
    return "\n".join(parts)


def _spoken(name: str) -> str:
    return name.replace("_percent", ", %").replace("_rad", ", rad").replace("_", " ")


def heading(said: dict) -> str:
    """What the tables were measured on."""
    m, shape = said["machine"], " x ".join(map(str, said["shape"]))
    where = f"{m['processor']}, {m['cores']} core(s), commit {m['commit']}, {m['date']}"
    return (
        "# The stages beside programs of others\n\n"
        f"One simulated head of {shape} voxels of {said['voxel_mm']:g} mm, 7 T, 4 echoes; the same data for all, each\n"
        "in a fresh process. Time is of the computation alone; its ratio is to the engine's default of the task: 2 is\n"
        "half as fast. The CPU ratio counts work in place of time, which a busy machine does not change.\n"
        f"{where}; made by `scripts/bench peers`.\n"
    )


def main() -> None:
    """Run everything, or one entry for a parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxel", type=float, default=2.5)
    parser.add_argument("--task", nargs="+", default=TASKS)
    parser.add_argument("--only", nargs="+", default=())
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "ferritin-peers")
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--result", type=Path, default=HERE.parent / "results" / "peers.json")
    parser.add_argument("--add", action="store_true", help="keep the rows of other programs in the result")
    parser.add_argument("--one", nargs=2)
    a = parser.parse_args()
    from scene import Scene

    scene = Scene(a.work / f"{a.voxel:g}mm", a.voxel)
    everything, scores = entries()
    if a.one:
        one = next(e for e in everything if [e.task, e.name] == a.one)
        print(json.dumps(measure(one, scores[one.task], scene)))
        return
    for part in ("data", "true_phase", *(("coil_images",) if "coils" in a.task else ())):
        getattr(scene, part)
    kept = json.loads(a.result.read_text())["rows"] if a.add and a.result.exists() else []
    rows = {(r["task"], r["name"]): r for r in kept}
    for one in everything:
        if one.task in a.task and (not a.only or one.name in a.only):
            row = rows[one.task, one.name] = in_a_process(one, a)
            print(f"{one.task:12} {one.name:30} {row.get('seconds', row['status'])}", flush=True)
            write(a, scene, with_ratios([rows[e.task, e.name] for e in everything if (e.task, e.name) in rows]))
    print(a.result.with_suffix(".md").read_text())


def write(a: argparse.Namespace, scene, rows: list[dict]) -> None:
    """The result so far, as JSON and as tables."""
    from machine import describe

    said = {"machine": describe(), "voxel_mm": a.voxel, "shape": scene.mask.shape, "voxels": int(scene.mask.sum())}
    a.result.write_text(json.dumps(said | {"rows": rows}, indent=1) + "\n")
    a.result.with_suffix(".md").write_text(heading(said) + table(rows) + "\n")


if __name__ == "__main__":
    main()
