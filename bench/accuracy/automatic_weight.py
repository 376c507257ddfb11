"""The automatic weight of the inversions against the best one that a sweep finds: bench/results/automatic_weight.json.

    python bench/accuracy/automatic_weight.py --make-scan MAKE_SCAN.PY [--work FOLDER] [--methods tv ...] [--until S]

Simulated heads, straight and oblique, each with three fields (fields.py): the true local field, the same with measured
noise, and that of the whole chain. TV and the closed form on seeds 1-3 at 1.25 and 2 mm, the other methods that have
an automatic weight on seed 1 at 2 mm. The sweep walks from the automatic weight in factors of sqrt 2 towards the lower
NRMSE until it rises on both sides. The automatic weight sees no truth. Every solution is kept in the work folder and
found again only when the engine has changed, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fields import ANGLES, KINDS, SEEDS, VOXELS, Head, engine, invert
from machine import describe

from ferritin.registry import find

METHODS = ("tv", "closed_form")
OTHERS = ("fansi_tv", "fansi_tgv", "wh_qsm", "star", "hd_qsm", "l1_qsm", "tikhonov", "medi")
"""Those whose weight is automatic, too, but that the chain does not take by default: on two heads of 2 mm."""
CASES = [(m, v, s, o) for m in METHODS for v in VOXELS for s in SEEDS for o in ANGLES]
CASES += [(m, 2.0, 1, o) for m in OTHERS for o in ANGLES]
LIMIT = 1.03
FARTHEST = 12
"""Steps of sqrt 2 from the automatic weight at which the sweep gives up."""


class Sweep:
    """NRMSE by weight of one method on one field; what was measured is kept in a file."""

    def __init__(self, folder: Path, method: str, kind: str):
        self.method, self.kind = find("dipole", method), kind
        self.kept = folder / f"weight-{method}-{kind}.json"
        self.said = json.loads(self.kept.read_text()) if self.kept.exists() else {}
        self.head, self.scores = None, self.said.get("scores", {})

    def measure(self, head: Head, keep_old: bool) -> None:
        """Walk to the best weight, from what is there of this engine."""
        if not (keep_old and self.scores) and self.said.get("engine") != engine():
            self.said = {"engine": engine(), "scores": {}}
            self.scores = self.said["scores"]
        self.head = head
        self.solve(0)
        for way in (1, -1):
            step = way
            while abs(step) <= FARTHEST and self.solve(step) < self.solve(step - way):
                step += way
        self.said["complete"] = True
        self.kept.write_text(json.dumps(self.said, indent=1))

    def solve(self, step: int) -> float:
        """NRMSE with the automatic weight times sqrt 2 to the step."""
        key = "auto" if step == 0 else str(step)
        if key not in self.scores:
            weight = "auto" if step == 0 else self.scores["auto"]["lambda"] * 2 ** (step / 2)
            result = invert(self.method, self.head.given(self.kind), self.head.scan, **{"lambda": weight})
            score = self.head.score(result.chi)
            row = {name: round(score[name], 4) for name in ("nrmse", "xsim_uniform5", "hfen")}
            if step == 0:
                said = next(note for note in result.record.notes if note.startswith("lambda = "))
                row |= {"lambda": float(re.match(r"lambda = (\S+)", said)[1]), "notes": result.record.notes}
            else:
                row |= {"lambda": float(f"{weight:.4g}")}
            self.scores[key] = row
            self.kept.write_text(json.dumps(self.said, indent=1))
        return self.scores[key]["nrmse"]

    def row(self) -> dict:
        """The automatic weight and the best one."""
        auto, best = self.scores["auto"], min(self.scores.values(), key=lambda row: row["nrmse"])
        ratio = round(auto["nrmse"] / best["nrmse"], 4)
        return {"engine": self.said["engine"], "auto": auto, "best": best, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-weights"), help="scans and solutions, kept")
    parser.add_argument("--methods", nargs="+", default=METHODS + OTHERS)
    parser.add_argument("--voxels", type=float, nargs="+", default=VOXELS)
    parser.add_argument("--angles", type=int, nargs="+", default=ANGLES)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--until", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--keep-old", action="store_true", help="take solutions of an earlier engine, too")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/automatic_weight.json"
    )
    a = parser.parse_args()
    end = time.monotonic() + a.until
    rows, missing = [], []
    for (method, voxel, seed, angle), kind in itertools.product(CASES, KINDS):
        case = {"method": method, "voxel_mm": voxel, "seed": seed, "oblique": angle, "field": kind}
        sweep = Sweep(a.work / f"v{voxel:g}-s{seed}-o{angle:g}", method, kind)
        asked = method in a.methods and voxel in a.voxels and seed in a.seeds and angle in a.angles and kind in a.kinds
        if asked and time.monotonic() < end:
            sweep.measure(Head(a.make_scan, a.work, voxel, seed, angle), a.keep_old)
            print(line(case | sweep.row()), flush=True)
        if sweep.said.get("complete"):
            rows.append(case | sweep.row())
        else:
            missing.append(case)
    worst = max(rows, key=lambda r: r["ratio"])
    missed = [r for r in rows if r["ratio"] > LIMIT]
    print(f"worst: {line(worst)}\n{len(missed)} of {len(rows)} above {LIMIT}")
    summary = {"machine": describe(), "engine": engine(), "limit": LIMIT, "worst_ratio": worst["ratio"]}
    summary |= {"above": len(missed), "not_yet_measured": missing, "rows": rows}
    a.out.write_text(json.dumps(summary, indent=1) + "\n")


def line(row: dict) -> str:
    """A row as text."""
    return (
        f"{row['method']:12} {row['voxel_mm']:4g} mm seed {row['seed']} {row['oblique']:2d} deg {row['field']:5}  "
        f"auto {row['auto']['lambda']:.3g}: {row['auto']['nrmse']:.2f} %  "
        f"best {row['best']['lambda']:.3g}: {row['best']['nrmse']:.2f} %  ratio {row['ratio']:.3f}"
    )


if __name__ == "__main__":
    main()
