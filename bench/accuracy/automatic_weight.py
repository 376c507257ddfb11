"""The automatic weight of the inversions against the best one that a sweep finds: bench/results/automatic_weight.json.

    python bench/accuracy/automatic_weight.py --make-scan MAKE_SCAN.PY [--work FOLDER] [--methods tv ...] [--until S]

Simulated heads (seeds 1-3, 1.25 and 2 mm, straight and oblique), each with three fields (fields.py): the true local
field, the same with measured noise, and that of the whole chain. The sweep walks from the automatic weight in factors
of sqrt 2 towards the lower NRMSE until it rises on both sides. The automatic weight sees no truth. Every solution is
kept in the work folder, so that a run that was stopped goes on; --fresh measures anew.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fields import KINDS, field, head, invert, simulate
from machine import describe

from ferritin.registry import find

CASES = [(v, s, o) for v in (2.0, 1.25) for s in (1, 2, 3) for o in (0, 25)]
METHODS = ("tv", "closed_form")
LIMIT = 1.03
FARTHEST = 12
"""Steps of sqrt 2 from the automatic weight at which the sweep gives up."""


class Sweep:
    """NRMSE by weight of one method on one field; what was measured is kept in a file."""

    def __init__(self, folder: Path, method: str, kind: str, fresh: bool):
        self.folder, self.method, self.kind = folder, find("dipole", method), kind
        self.kept = folder / f"weight-{method}-{kind}.json"
        self.scores = {} if fresh or not self.kept.exists() else json.loads(self.kept.read_text())
        self.auto = self.scores.get("auto", {}).get("lambda")

    def solve(self, step: int) -> float:
        """NRMSE with the automatic weight times sqrt 2 to the step."""
        key = "auto" if step == 0 else str(step)
        if key not in self.scores:
            scan = head(self.folder)
            weight = "auto" if step == 0 else self.auto * 2 ** (step / 2)
            result = invert(self.method, field(scan, self.kind), scan.scan, **{"lambda": weight})
            if step == 0:
                said = next(note for note in result.record.notes if note.startswith("lambda = "))
                self.auto, why = float(re.match(r"lambda = (\S+)", said)[1]), said
                self.scores[key] = {"lambda": self.auto, "why": why}
            else:
                self.scores[key] = {"lambda": weight}
            self.scores[key] |= scan.score(result.chi)
            self.kept.write_text(json.dumps(self.scores, indent=1))
        return self.scores[key]["nrmse"]

    def row(self) -> dict:
        """The automatic weight and the best one."""
        self.solve(0)
        for way in (1, -1):
            step = way
            while abs(step) <= FARTHEST and self.solve(step) < self.solve(step - way):
                step += way
        best = min((k for k in self.scores if k != "auto"), key=lambda k: self.scores[k]["nrmse"])
        best = min(("auto", best), key=lambda k: self.scores[k]["nrmse"])
        auto, found = self.scores["auto"], self.scores[best]
        return {"auto": auto, "best": found, "ratio": round(auto["nrmse"] / found["nrmse"], 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-weights"), help="scans and solutions, kept")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--voxels", type=float, nargs="+", default=(2.0, 1.25))
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--until", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--fresh", action="store_true", help="forget earlier solutions")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/automatic_weight.json"
    )
    a = parser.parse_args()
    end = time.monotonic() + a.until
    rows = []
    for method in a.methods:
        for voxel, seed, oblique in CASES:
            if voxel not in a.voxels or seed not in a.seeds:
                continue
            folder = simulate(a.make_scan, a.work, voxel, seed, oblique)
            for kind in a.kinds:
                if time.monotonic() > end:
                    break
                case = {"method": method, "voxel_mm": voxel, "seed": seed, "oblique": oblique, "field": kind}
                rows.append(case | Sweep(folder, method, kind, a.fresh).row())
                print(line(rows[-1]), flush=True)
    worst = max(rows, key=lambda r: r["ratio"])
    missed = [r for r in rows if r["ratio"] > LIMIT]
    print(f"worst: {line(worst)}\n{len(missed)} of {len(rows)} above {LIMIT}")
    summary = {"machine": describe(), "limit": LIMIT, "worst_ratio": worst["ratio"], "above": len(missed), "rows": rows}
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
