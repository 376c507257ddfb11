"""How often a map's error lies within one standard deviation of chi_sd: bench/results/uncertainty.json.

    python bench/accuracy/uncertainty.py --make-scan MAKE_SCAN.PY [--work FOLDER] [--voxels 2 1.25] [--samples 8]

Simulated heads, the true local field with the noise of a fit and with its noise map (fields.py). Homogeneous tissue is
what has one label within two voxels, vessels and fluid left out: the texture that the simulation puts into every tissue
(6 ppb) is in it. Where errors are Gaussian and the deviation is right, 68 % lie within one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fields import ANGLES, SEEDS, VOXELS, Head, engine, invert
from machine import describe

from ferritin.registry import find

TISSUE = {8: "white matter", 9: "grey matter", 7: "thalamus", 3: "putamen", 1: "caudate"}
EXPECTED, SPREAD = 68.0, 8.0


def homogeneous(labels: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Voxels of the tissues that are two voxels from any other label."""
    out = np.zeros(labels.shape, bool)
    for label in TISSUE:
        out |= ndi.binary_erosion(labels == label, ndi.generate_binary_structure(3, 3), iterations=2)
    return out & region


def measure(head: Head, method: str, samples: int) -> dict:
    """Coverage [%] in homogeneous tissue and everywhere, and the sizes of error and deviation [ppb]."""
    start = time.perf_counter()
    result = invert(find("dipole", method), head.given("noisy"), head.scan, uncertainty=samples)
    seconds = time.perf_counter() - start
    where = homogeneous(head.labels, head.scored)
    error, sd = result.chi - head.truth("chi"), result.chi_sd
    row = {"engine": engine(), "seconds": round(seconds, 1), "voxels": int(where.sum())}
    row["within_percent"] = share(error, sd, where)
    row["within_percent_everywhere"] = share(error, sd, head.scored)
    row["error_ppb"] = round(1e3 * float(np.sqrt(np.mean(error[where] ** 2))), 2)
    row["chi_sd_ppb"] = round(1e3 * float(np.sqrt(np.mean(sd[where] ** 2))), 2)
    tissues = {name: where & (head.labels == label) for label, name in TISSUE.items()}
    row["by_tissue"] = {name: share(error, sd, r) for name, r in tissues.items() if r.sum() > 50}
    row["notes"] = list(result.record.notes)
    return row


def share(error: np.ndarray, sd: np.ndarray, where: np.ndarray) -> float:
    """Percent of the voxels whose error is at most one deviation."""
    return round(100 * float(np.mean(np.abs(error[where]) <= sd[where])), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-weights"), help="scans and fields, kept")
    parser.add_argument("--methods", nargs="+", default=("tv",))
    parser.add_argument("--voxels", type=float, nargs="+", default=VOXELS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--angles", type=int, nargs="+", default=ANGLES)
    parser.add_argument("--keep-old", action="store_true", help="take rows of an earlier engine, too")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/uncertainty.json")
    a = parser.parse_args()
    rows, missing = [], []
    for method, voxel, seed, angle in itertools.product(a.methods, VOXELS, SEEDS, ANGLES):
        case = {"method": method, "voxel_mm": voxel, "seed": seed, "oblique": angle}
        kept = a.work / f"v{voxel:g}-s{seed}-o{angle:g}" / f"uncertainty-{method}-{a.samples}.json"
        row = json.loads(kept.read_text()) if kept.exists() else None
        asked = voxel in a.voxels and seed in a.seeds and angle in a.angles
        if asked and not (row and (a.keep_old or row["engine"] == engine())):
            row = measure(Head(a.make_scan, a.work, voxel, seed, angle), method, a.samples)
            kept.write_text(json.dumps(row, indent=1))
            print(json.dumps(case | row), flush=True)
        rows.append(case | row) if row else missing.append(case)
    within = all(abs(r["within_percent"] - EXPECTED) <= SPREAD for r in rows)
    met = within and not missing
    summary = {
        "machine": describe(),
        "engine": engine(),
        "expected_percent": EXPECTED,
        "spread_percent": SPREAD,
        "samples": a.samples,
    }
    a.out.write_text(json.dumps(summary | {"met": met, "not_yet_measured": missing, "rows": rows}, indent=1) + "\n")
    print(f"{'within' if within else 'outside'} the limits, {len(missing)} cases not measured")


if __name__ == "__main__":
    main()
