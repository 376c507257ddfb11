"""Heads straight and oblique without noise, their fields as the simulator makes them and without its grid.

    python bench/accuracy/oblique.py --make-scan MAKE_SCAN.PY [--work FOLDER] [--methods tv ...]

Writes bench/results/oblique.json. The simulator's field is that of cubes of its own 1 mm grid, seen at their centres,
and its truth is sampled without a filter that holds back what lies beyond the voxels' own frequencies. Both fold into
the highest frequencies, where a straight kernel is the same on either side of the fold and an oblique one is not: no
map on the voxels has such a field. "continuous" heads are the same anatomy by the same program with the two replaced:
the dipole's closed form in k-space, and a band limit before the truth is sampled.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import scipy.fft as sf
import scipy.ndimage as ndi

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fields import ANGLES, SEEDS, VOXELS, Head, invert
from machine import describe

from ferritin.registry import find

FIELDS, SCORES, LIMIT = ("continuous", "simulator"), ("nrmse", "xsim_uniform5", "hfen"), 0.05
TRUTH_SIGMA = 0.42
"""Of the filter that the simulator's truth is smoothed by [voxels]."""


def simulate(make_scan: Path, folder: Path, voxel: float, seed: int, angle: int) -> None:
    """Write a head whose fields are continuous."""
    spec = importlib.util.spec_from_file_location("make_scan", make_scan)
    simulator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulator)
    without_grid(simulator, voxel)
    said, sys.argv = sys.argv, [str(make_scan), str(folder), "--voxel", f"{voxel:g}", "--seed", str(seed)]
    sys.argv += ["--oblique", str(angle), "--coils", "1", "--te", "4", "12"]
    try:
        simulator.main()
    finally:
        sys.argv = said


def without_grid(simulator: ModuleType, voxel: float) -> None:
    """Replace the simulator's dipole and the filter of its truth."""
    fine = min(1.0, voxel)
    sigma = TRUTH_SIGMA * voxel / fine if voxel > fine else 0

    def smooth(values: np.ndarray, width: float) -> np.ndarray:
        values = ndi.gaussian_filter(values, width)
        if width != sigma:
            return values
        spectrum = sf.fftn(values, workers=-1)
        for axis, n in enumerate(values.shape):
            kept = abs(sf.fftfreq(n, 1 / n)) < round(n * fine / voxel / 2)
            spectrum *= kept.reshape([-1 if a == axis else 1 for a in range(3)])
        return sf.ifftn(spectrum, workers=-1).real.astype(np.float32)

    simulator.dipole = dipole
    simulator.ndi = SimpleNamespace(**(vars(ndi) | {"gaussian_filter": smooth}))


def dipole(shape: tuple[int, ...], voxel: tuple[float, ...], b: np.ndarray) -> np.ndarray:
    """1/3 - (k·b)²/k² on the half spectrum; the Nyquist planes hold the mean of their two sides."""
    full = [sf.fftfreq(n, v) for n, v in zip(shape[:2], voxel)] + [sf.rfftfreq(shape[2], voxel[2])]
    odd = [np.where(abs(k) * v < 0.5, k, 0) for k, v in zip(full, voxel)]
    full, odd = (np.meshgrid(*k, indexing="ij", sparse=True) for k in (full, odd))
    k2 = sum(k * k for k in full)
    k2[0, 0, 0] = 1
    kb2 = sum(c * k for c, k in zip(b, odd)) ** 2 + sum(c * c * (k * k - o * o) for c, k, o in zip(b, full, odd))
    kernel = 1 / 3 - kb2 / k2
    kernel[0, 0, 0] = 0
    return kernel.astype(np.complex64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-susceptibility"), help="scans, kept")
    parser.add_argument("--methods", nargs="+", default=["tv"])
    parser.add_argument("--voxels", type=float, nargs="+", default=VOXELS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/oblique.json")
    a = parser.parse_args()
    rows = []
    for name, fields, voxel, seed in (
        (m, f, v, s) for m in a.methods for f in FIELDS for v in a.voxels for s in a.seeds
    ):
        row = {"method": name, "fields": fields, "voxel_mm": voxel, "seed": seed}
        for angle in ANGLES:
            work = a.work / "continuous" if fields == "continuous" else a.work
            folder = work / f"v{voxel:g}-s{seed}-o{angle:g}"
            if fields == "continuous" and not (folder / "raw.h5").exists():
                simulate(a.make_scan, folder, voxel, seed, angle)
            head = Head(a.make_scan, work, voxel, seed, angle)
            scores = head.score(invert(find("dipole", name), head.given("true"), head.scan).chi)
            row[f"{angle} degrees"] = {score: round(float(scores[score]), 4) for score in SCORES}
        row["ratio"] = round(row[f"{ANGLES[1]} degrees"]["nrmse"] / row[f"{ANGLES[0]} degrees"]["nrmse"], 4)
        rows.append(row)
        print(json.dumps(row), flush=True)
    a.out.write_text(json.dumps({"machine": describe(), "limit": 1 + LIMIT, "rows": rows}, indent=1) + "\n")
    beyond = sum(abs(row["ratio"] - 1) > LIMIT for row in rows if row["fields"] == "continuous")
    print(
        f"{beyond} of {sum(row['fields'] == 'continuous' for row in rows)} rows of continuous fields beyond {LIMIT:.0%}"
    )


if __name__ == "__main__":
    main()
