"""Background removal and inversion on simulated heads, stage by stage and in the chain, scored against the truth.

    python bench/accuracy/susceptibility.py --make-scan MAKE_SCAN.PY [--work FOLDER] [--only CASE ...] [--rows ROW ...]

Writes bench/results/susceptibility.json and a picture. Every row of every case is kept in the work folder and measured
again only when the engine has changed, so that a run that was stopped goes on where it was; the result file names the
cases that are not complete yet. Methods are the defaults.
Scores are those of ferritin.metrics inside the truth's mask eroded by 3 mm; what a method leaves out counts as 0.
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
from fields import ANGLES, SEEDS, VOXELS, Head, engine
from machine import describe

from ferritin.backend import count_ffts
from ferritin.registry import Method, find

CASES = {f"{v:g} mm, seed {s}, {a} degrees": (v, s, a) for v in VOXELS for s in SEEDS for a in ANGLES}
ROWS = {
    "inversion": "susceptibility from the true local field, no noise",
    "inversion with noise": "susceptibility from the true local field plus what a fit with true wraps errs by",
    "background": "local field from the true total field",
    "background in the chain": "local field of ferritin recon",
    "chain": "susceptibility of ferritin recon, from raw data",
}
# Limits are meant for 1.25 mm, seed 1, straight; peers are QSM.rs, a native build, on that case.
LIMITS = {
    "inversion": {"nrmse": ("<=", 12.7), "xsim_uniform5": (">=", 0.957), "hfen": ("<=", 8.3), "fft_pairs": ("<=", 300)},
    "inversion with noise": {"nrmse": ("<=", 28), "xsim_uniform5": (">=", 0.84), "hfen": ("<=", 23)},
    "background": {"nrmse": ("<=", 28)},
    "background in the chain": {"nrmse": ("<=", 45)},
    "chain": {"nrmse": ("<=", 40), "xsim_uniform5": (">=", 0.68), "hfen": ("<=", 27), "slope_deviation": ("<=", 0.05)},
}
PEERS = {
    "inversion": {"L1-QSM, 1400 FFT pairs": {"nrmse": 12.7, "xsim": 0.957, "hfen": 8.3}, "TV": {"nrmse": 24}},
    "inversion with noise": {"TV": {"nrmse": 40, "xsim": 0.76, "hfen": 30}},
    "background": {"V-SHARP": {"nrmse": 40}, "iSMV": {"nrmse": 43}},
    "background in the chain": {"RESHARP": {"nrmse": 59}, "iSMV": {"nrmse": 65}},
    "chain": {"iSMV + MEDI": {"nrmse": 61, "xsim": 0.51, "hfen": 37}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-susceptibility"), help="scans and rows, kept")
    parser.add_argument("--only", nargs="+", choices=[*CASES], default=[*CASES], metavar="CASE", help="some cases")
    parser.add_argument("--rows", nargs="+", choices=[*ROWS], default=[*ROWS], metavar="ROW", help="some rows")
    parser.add_argument("--keep-old", action="store_true", help="take kept rows of an earlier engine, too")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/susceptibility.json")
    a = parser.parse_args()
    for name in a.only:
        head = Head(a.make_scan, a.work, *CASES[name])
        for row in a.rows:
            scores = kept(head, row, a.keep_old)
            print(f"{name}: {row}: {line(scores)}", flush=True)
    cases = {name: everything(a.work / "v{:g}-s{}-o{}".format(*values)) for name, values in CASES.items()}
    missing = [name for name, rows in cases.items() if len(rows) < len(ROWS)]
    cases = {name: rows for name, rows in cases.items() if name not in missing}
    summary = {"machine": describe(), "rows": ROWS, "limits": LIMITS, "peers": PEERS}
    summary |= {"not_yet_measured": missing, "cases": cases}
    a.out.write_text(json.dumps(summary, indent=1) + "\n")
    picture(cases, a.out.with_suffix(".png"))
    print("\n".join(failures(cases)) or "every limit is met")


def measure(head: Head, row: str) -> dict:
    """Scores of one row, with the method and the transforms that it took."""
    if row.startswith("inversion"):
        found, how = run(find("dipole"), head, **head.given("noisy" if row == "inversion with noise" else "true"))
        return head.score(found.chi) | how
    if row == "background":
        found, how = run(find("background"), head, total_field=head.field("total_field"), mask=head.mask)
        return head.score(found.local_field / np.float32(head.scan.hz_per_ppm), "local_field") | how
    if row == "background in the chain":
        return head.score(head.chain["local_field"] / np.float32(head.scan.hz_per_ppm), "local_field")
    return head.score(head.chain["chi"])


def run(method: Method, head: Head, **given: np.ndarray) -> tuple:
    """The method on what it takes of `given`, and a description of the run."""
    taken = {name: given[name] for name in (*method.consumes, *method.optional) if name in given}
    start = time.perf_counter()
    with count_ffts() as ffts:
        result = method(scan=head.scan, **taken)
    record = result.record
    return result, {
        "method": f"{method.stage}.{method.name}",
        "fft_pairs": ffts.pairs,
        "iterations": record.iterations,
        "stopped_by": record.stopped_by,
        "notes": list(record.notes),
        "seconds": round(time.perf_counter() - start, 1),
    }


def kept(head: Head, row: str, keep_old: bool) -> dict:
    """The row's scores from the work folder, or measured now."""
    path = head.folder / "rows" / f"{row.replace(' ', '-')}.json"
    if path.exists():
        scores = json.loads(path.read_text())
        if keep_old or scores["engine"] == engine():
            return scores
    scores = measure(head, row) | {"engine": engine()}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(scores, indent=1))
    return scores


def everything(folder: Path) -> dict[str, dict]:
    """All rows of one case that have been measured."""
    paths = {row: folder / "rows" / f"{row.replace(' ', '-')}.json" for row in ROWS}
    return {row: json.loads(path.read_text()) for row, path in paths.items() if path.exists()}


def line(scores: dict) -> str:
    names = ("nrmse", "nrmse_detrended", "xsim_uniform5", "hfen", "dgm_slope", "fft_pairs", "seconds")
    return "  ".join(f"{n} {scores[n]:.4g}" for n in names if n in scores)


def failures(cases: dict) -> list[str]:
    """The limits that are not met, and oblique cases that are more than 5 % worse than the straight ones."""
    out = []
    for name, rows in cases.items():
        for row, limits in LIMITS.items():
            for figure, (kind, limit) in limits.items():
                value = rows[row][figure]
                if not (value <= limit if kind == "<=" else value >= limit):
                    out.append(f"{name}: {row}: {figure} = {value:.4g}, limit {kind} {limit}")
        straight = cases.get(f"{name.rpartition(',')[0]}, 0 degrees")
        for row in ROWS if straight else ():
            ratio = rows[row]["nrmse"] / straight[row]["nrmse"]
            if ratio > 1.05:
                out.append(f"{name}: {row}: NRMSE is {ratio:.3f} x the straight one's")
    return out


def picture(cases: dict, path: Path) -> None:
    """NRMSE of every row: one mark a case, the limit and the best peer as lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.6), constrained_layout=True)
    for i, row in enumerate(ROWS):
        for shift, voxel, colour in ((-0.12, 1.25, "#1f77b4"), (0.12, 2.0, "#ff7f0e")):
            values = [rows[row]["nrmse"] for name, rows in cases.items() if name.startswith(f"{voxel:g} mm")]
            axes.plot(
                [i + shift] * len(values), values, "o", ms=4, color=colour, label=f"{voxel:g} mm" if i == 0 else None
            )
        best = min(peer["nrmse"] for peer in PEERS[row].values())
        axes.hlines(LIMITS[row]["nrmse"][1], i - 0.35, i + 0.35, "k", lw=1, label="limit" if i == 0 else None)
        axes.hlines(best, i - 0.35, i + 0.35, "0.6", ls="--", lw=1, label="best peer" if i == 0 else None)
    axes.set_xticks(range(len(ROWS)), [row.replace(" with", "\nwith").replace(" in", "\nin", 1) for row in ROWS])
    axes.set_ylabel("NRMSE [%]")
    axes.set_ylim(0, 72)
    axes.legend(ncols=4, fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
