"""Every background filter and inversion beside the best open program's figure of the same method: one head, one table.

    python bench/accuracy/methods_vs_open.py --make-scan MAKE_SCAN.PY [--work FOLDER] [--voxel 1.25] [--only NAME ...]

Writes bench/results/methods_vs_open.json and .md. The head is that of the open figures: seed 1, straight, 1.25 mm; all
methods by their defaults, scored inside the truth's mask eroded by 3 mm, where what a method leaves out counts as 0.
Every row is kept in the work folder and measured again only when the engine has changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fields import Head, engine, invert
from machine import describe

from ferritin.registry import find, methods

TASKS = {
    "inversion": "susceptibility from the true local field, no noise",
    "inversion with noise": "susceptibility from the true local field plus the error of a fit with true wraps",
    "background": "local field from the true total field, no noise",
}
SINGLE_STEP = "total_field"
"""Inversions that start from it are given the total field, and their loss is background and inversion together."""
SAME = "QSM.rs, native build, same head"
OTHER = "QSM-CI's leaderboard, another head (Challenge 2.0, 7 T, 1 mm): not the same input"
OPEN = {
    ("inversion", "l1_qsm"): (12.7, SAME),
    ("inversion", "tv"): (24.0, SAME),
    ("inversion with noise", "tv"): (32.0, "30 lines of float64 with a data mask, same head; QSM.rs 40"),
    ("background", "vsharp"): (40.0, SAME),
    ("background", "ismv"): (43.0, SAME + "; 35 in its own mask"),
    ("inversion", "fansi_tv"): (29.1, OTHER + ", nlTV tuned"),
    ("inversion", "fansi_tgv"): (30.0, OTHER + ", nlTGV tuned"),
    ("inversion", "hd_qsm"): (31.1, OTHER + ", tuned"),
    ("inversion", "tkd"): (37.0, OTHER),
    ("inversion", "rts"): (38.4, OTHER),
    ("inversion", "ilsqr"): (40.8, OTHER),
    ("inversion", "ndi"): (48.3, OTHER),
    ("inversion", "medi"): (52.0, OTHER),
    ("inversion", "tgv"): (56.1, OTHER + ", from the total field"),
    ("background", "resharp"): (33.0, OTHER),
    ("background", "sharp"): (36.3, OTHER),
    ("background", "lbv"): (42.4, OTHER),
    ("background", "pdf"): (44.5, OTHER),
    ("background", "harperella"): (105.0, OTHER),
}
"""NRMSE [%] of open programs by task and method, and where it is from."""
WHY: dict[tuple[str, str], str] = {}
"""What makes a method worse than its open figure, where that was found out."""
FIGURES = {"nrmse": "NRMSE, %", "nrmse_valid": "where valid, %", "xsim_uniform5": "XSIM", "hfen": "HFEN, %"}


def measure(head: Head, task: str, name: str) -> dict:
    """Scores of one method by its defaults."""
    start = time.perf_counter()
    if task == "background":
        method = find("background", name)
        given = {"total_field": head.field("total_field"), "mask": head.mask, "echoes": None}
        if "echoes" in method.consumes:
            return {"left_out": "needs the echoes, which have noise"}
        result = method(scan=head.scan, **{n: given[n] for n in method.consumes})
        found, truth, valid = result.local_field / np.float32(head.scan.hz_per_ppm), "local_field", result.mask
    else:
        method, given = find("dipole", name), head.given("noisy" if task == "inversion with noise" else "true")
        if SINGLE_STEP in method.consumes:
            background = head.field("total_field") - head.field("local_field")
            given = given | {"total_field": given["local_field"] + background, "field_mask": head.mask}
        if not {*method.consumes} <= {*given}:
            return {"left_out": "needs several orientations"}
        result = invert(method, given, head.scan)
        found, truth, valid = result.chi, "chi", result.chi != 0
    scores = head.score(found, truth)
    inside, error = head.scored & valid, (found - head.truth(truth)).astype(np.float64)
    size = np.linalg.norm(head.truth(truth)[inside].astype(np.float64))
    scores["nrmse_valid"] = 100 * float(np.linalg.norm(error[inside]) / size)
    record = result.record
    how = {"iterations": record.iterations, "stopped_by": record.stopped_by, "notes": list(record.notes)}
    return scores | how | {"seconds": round(time.perf_counter() - start, 1)}


def table(rows: list[dict], voxel: float) -> str:
    """The rows as Markdown, a table for each task."""
    parts = [
        "# Every method beside the open figure of the same method\n",
        f"One simulated head (make_scan, seed 1, straight, {voxel:g} mm, 7 T), inside the truth's mask eroded by 3 mm; "
        "defaults.\nMade by `bench/accuracy/methods_vs_open.py`; figures of another head are no comparison of equals.",
    ]
    for task, meaning in TASKS.items():
        parts.append(f"\n## {task}: {meaning}\n")
        parts.append("| method | " + " | ".join(FIGURES.values()) + " | open, % | of | worse by, % | why |")
        parts.append("|---|" + "---:|" * len(FIGURES) + "---:|---|---:|---|")
        for row in sorted((r for r in rows if r["task"] == task and "nrmse" in r), key=lambda r: r["nrmse"]):
            cells = [row["method"], *(f"{row[f]:.3g}" for f in FIGURES)]
            cells += [f"{row['open_nrmse']:g}" if "open_nrmse" in row else "", row.get("open_source", "")]
            cells += [f"{row['worse_by']:.1f}" if "worse_by" in row else "", row.get("why", "")]
            parts.append("| " + " | ".join(cells) + " |")
        out = [f"{r['method']} ({r['left_out']})" for r in rows if r["task"] == task and "left_out" in r]
        if out:
            parts.append("\nLeft out: " + "; ".join(out) + ".")
    return "\n".join(parts) + "\n"


def judged(row: dict) -> dict:
    """The row with the open figure of its method and, on the same head, by how much it is worse (beyond rounding)."""
    open_ = OPEN.get((row["task"], row["method"]))
    if open_ is None or "nrmse" not in row:
        return row
    row = row | {"open_nrmse": open_[0], "open_source": open_[1]}
    if row["nrmse"] > open_[0] + 0.5 and not open_[1].startswith(OTHER):
        row["worse_by"] = round(row["nrmse"] - open_[0], 1)
        row["why"] = WHY.get((row["task"], row["method"]), "not found out")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-weights"), help="scans and rows, kept")
    parser.add_argument("--voxel", type=float, default=1.25)
    parser.add_argument("--only", nargs="+", help="names of methods")
    parser.add_argument("--tasks", nargs="+", default=[*TASKS], choices=[*TASKS])
    parser.add_argument("--until", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--keep-old", action="store_true", help="take rows of an earlier engine, too")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/methods_vs_open.json"
    )
    a = parser.parse_args()
    head, rows, missing = Head(a.make_scan, a.work, a.voxel, 1, 0), [], []
    end = time.monotonic() + a.until
    for task in TASKS:
        for method in methods("background" if task == "background" else "dipole"):
            kept = head.folder / "methods" / f"{task.replace(' ', '-')}-{method.name}.json"
            row = json.loads(kept.read_text()) if kept.exists() else None
            asked = task in a.tasks and (not a.only or method.name in a.only) and time.monotonic() < end
            if asked and not (row and (a.keep_old or row["engine"] == engine())):
                row = measure(head, task, method.name) | {"engine": engine()}
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(json.dumps(row, indent=1))
                print(
                    task, method.name, *(f"{row[f]:.4g}" for f in FIGURES if f in row), row.get("seconds"), flush=True
                )
            if row is None:
                missing.append(f"{task}: {method.name}")
            else:
                rows.append(judged({"task": task, "method": method.name} | row))
    summary = {"machine": describe(), "engine": engine(), "voxel_mm": a.voxel, "not_yet_measured": missing}
    a.out.write_text(json.dumps(summary | {"rows": rows}, indent=1) + "\n")
    a.out.with_suffix(".md").write_text(table(rows, a.voxel))


if __name__ == "__main__":
    main()
