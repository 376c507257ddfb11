"""What a voxel's own signal can say at best of its field: bench/results/field_floor.json.

    python bench/accuracy/field_floor.py --make-scan MAKE_SCAN.PY [--work FOLDER]

The scans of field_map.py whose wrong wraps are above their limit, simulated once more without noise. In a voxel that is
part air, the truth is the mean over tissue and air, the signal is the tissue's alone, and the field jumps between the
two by hundreds of Hz. So a voxel can be wrong by more than 1 / (4 ΔTE) before there is any noise and without a wrap:

- `short times`: the field that the signal has between 0.25 and 0.5 ms, where nothing has dephased or wrapped.
- `these echoes`: the weighted linear fit over the scan's own echoes, its turns followed from that field.
- `either, any turn`: whichever of the two, plus any number of 1/ΔTE, is nearest to the truth: a choice nobody has.

The true-wrap fit is below these because the truth gives it each echo's turn: no echo is off by more than half of one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from field_map import CASES, Truth, default_way, folder_of, read_truth
from machine import describe

SHORT_MS = ("0.25", "0.5")
RESULTS = Path(__file__).resolve().parents[1] / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-field-map"), help="scans, kept")
    parser.add_argument("--out", type=Path, default=RESULTS / "field_floor.json")
    a = parser.parse_args()
    measured = json.loads((RESULTS / "field_map.json").read_text())["cases"]
    rows = {}
    for case, scores in measured.items():
        found = scores[default_way()]["mask"]["wrong_percent"]
        limit = 2 * scores["true-wrap fit"]["mask"]["wrong_percent"] + 0.02
        if found > limit:
            rows[case] = {"limit": round(limit, 4), "default": round(found, 4)} | floors(case, a)
            print(case, json.dumps(rows[case]), flush=True)
    a.out.write_text(json.dumps({"machine": describe(), "wrong_percent": rows}, indent=1) + "\n")


def floors(case: str, a: argparse.Namespace) -> dict:
    """Share of the mask [%] where the noise-free signal's own field is off by more than 1 / (4 ΔTE)."""
    short, own = (noise_free(case, a, te) for te in (SHORT_MS, ()))
    truth = read_truth(a.work / folder_of(case))
    spacing = np.diff(truth.te_s).min()
    early = np.angle(short.free[1] * short.free[0].conj()) / (2 * np.pi * np.diff(short.te_s)[0])
    late = followed(own, early)
    nearest = np.inf
    for field in (early, late):
        for turns in range(-3, 4):
            nearest = np.fmin(nearest, np.abs(field + turns / spacing - truth.field))
    errors = {"short times": early - truth.field, "these echoes": late - truth.field, "either, any turn": nearest}
    wrong = {name: np.mean(np.abs(e[truth.mask]) > 1 / (4 * spacing)) for name, e in errors.items()}
    return {name: round(100 * float(share), 4) for name, share in wrong.items()}


def noise_free(case: str, a: argparse.Namespace, te_ms: tuple[str, ...]) -> Truth:
    """The case's coil-free echoes without noise, at its echo times or at others."""
    folder = a.work / (folder_of(case) + "-noise-free" + "".join(f"-{t}" for t in te_ms))
    if not (folder / "truth" / "scan.json").exists():
        options = [*CASES[case], "--snr", "1e9", "--no-raw", *(("--te", *te_ms) if te_ms else ())]
        subprocess.run([sys.executable, a.make_scan, folder, *options], check=True)
    return read_truth(folder)


def followed(scan: Truth, start: np.ndarray) -> np.ndarray:
    """The weighted linear fit with an offset, from echo to echo the turn that is nearest to the field so far."""
    te = scan.te_s
    phase = [np.angle(scan.free[0])]
    slope = start
    for e in range(1, len(te)):
        expected = phase[-1] + 2 * np.pi * slope * (te[e] - te[e - 1])
        phase.append(expected + np.angle(scan.free[e] * np.exp(-1j * expected)))
        slope = (phase[-1] - phase[-2]) / (2 * np.pi * (te[e] - te[e - 1]))
    weight = np.abs(scan.free) ** 2
    weight /= np.maximum(weight.sum(0), 1e-30)
    dt = te[:, None, None, None] - np.tensordot(te, weight, 1)
    return (weight * dt * phase).sum(0) / np.maximum((weight * dt**2).sum(0), 1e-30) / (2 * np.pi)


if __name__ == "__main__":
    main()
