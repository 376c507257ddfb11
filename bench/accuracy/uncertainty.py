"""How often a map's error lies within one standard deviation of chi_sd: bench/results/uncertainty.json.

    python bench/accuracy/uncertainty.py --make-scan MAKE_SCAN.PY [--work FOLDER] [--voxels 2 1.25] [--samples 8]

Simulated heads, the true local field with the noise of a fit and with its noise map (fields.py). Homogeneous tissue is
what has one label within two voxels, vessels and fluid left out: the texture that the simulation puts into every tissue
(6 ppb) is in it. Where errors are Gaussian and the deviation is right, 68 % lie within one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fields import field, head, invert, simulate
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


def measure(folder: Path, method: str, samples: int) -> dict:
    """Coverage [%] in homogeneous tissue and everywhere, and the sizes of error and deviation [ppb]."""
    scan = head(folder)
    start = time.perf_counter()
    result = invert(find("dipole", method), field(scan, "noisy"), scan.scan, uncertainty=samples)
    seconds = time.perf_counter() - start
    where = homogeneous(scan.truth["labels"], scan.region)
    error, sd = result.chi - scan.truth["chi"], result.chi_sd
    row = {"seconds": round(seconds, 1), "voxels": int(where.sum())}
    row["within_percent"] = share(error, sd, where)
    row["within_percent_everywhere"] = share(error, sd, scan.region)
    row["error_ppb"] = round(1e3 * float(np.sqrt(np.mean(error[where] ** 2))), 2)
    row["chi_sd_ppb"] = round(1e3 * float(np.sqrt(np.mean(sd[where] ** 2))), 2)
    tissues = {name: where & (scan.truth["labels"] == label) for label, name in TISSUE.items()}
    row["by_tissue"] = {name: share(error, sd, r) for name, r in tissues.items() if r.sum() > 50}
    return row


def share(error: np.ndarray, sd: np.ndarray, where: np.ndarray) -> float:
    """Percent of the voxels whose error is at most one deviation."""
    return round(100 * float(np.mean(np.abs(error[where]) <= sd[where])), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-weights"), help="scans and fields, kept")
    parser.add_argument("--methods", nargs="+", default=("tv",))
    parser.add_argument("--voxels", type=float, nargs="+", default=(2.0,))
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/uncertainty.json")
    a = parser.parse_args()
    rows = []
    for method in a.methods:
        for voxel in a.voxels:
            for seed, oblique in ((1, 0), (2, 25), (3, 0)):
                folder = simulate(a.make_scan, a.work, voxel, seed, oblique)
                case = {"method": method, "voxel_mm": voxel, "seed": seed, "oblique": oblique}
                rows.append(case | measure(folder, method, a.samples))
                print(json.dumps(rows[-1]), flush=True)
    met = all(abs(r["within_percent"] - EXPECTED) <= SPREAD for r in rows)
    summary = {"machine": describe(), "expected_percent": EXPECTED, "spread_percent": SPREAD, "samples": a.samples}
    a.out.write_text(json.dumps(summary | {"met": met, "rows": rows}, indent=1) + "\n")
    print("within the limits" if met else "outside the limits")


if __name__ == "__main__":
    main()
