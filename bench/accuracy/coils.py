"""Coil combinations against the coil-free truth, and their memory: bench/results/coils.json.

    python bench/accuracy/coils.py --make-scan MAKE_SCAN.PY [--work FOLDER]

Error: phase grown from echo 1 to each later one, minus the truth's, inside the truth's mask less 3 mm, after one
constant; `coil-free` are the simulator's own images with the noise of an ideal combination. Every method runs in a
fresh process, whose peak resident memory is the kernel's count during the stage.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe

import ferritin
from ferritin.registry import methods
from ferritin.run.pipeline import reconstruct

COILS = (4, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-coils"), help="scans, kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results" / "coils.json")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FOLDER"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.one:
        print(json.dumps(one(a.one[0], Path(a.one[1]))))
        return
    rows: dict[str, dict] = {}
    for n in COILS:
        folder = a.work / f"coils-{n}"
        if not (folder / "raw.h5").exists():
            subprocess.run([sys.executable, a.make_scan, folder, "--voxel", "2", "--coils", str(n)], check=True)
        scan = ferritin.read(folder / "nifti")
        rows.setdefault("coil-free", {})[f"{n} coils"] = errors(np.asarray(scan.data["echoes"]), folder)
        for m in methods("coils"):
            command = [sys.executable, __file__, "--one", m.name, folder]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.setdefault(m.name, {})[f"{n} coils"] = json.loads(said.splitlines()[-1])
            print(m.name, n, rows[m.name][f"{n} coils"], flush=True)
    few, many = (f"{n} coils" for n in COILS)
    for row in rows.values():
        if "peak_bytes" in row[few]:
            row["peak_ratio"] = round(row[many]["peak_bytes"] / row[few]["peak_bytes"], 3)
    a.out.write_text(json.dumps({"machine": describe(), "methods": rows}, indent=1) + "\n")
    print(table(rows, few, many))


def one(method: str, folder: Path) -> dict:
    """One method on one scan, in this process."""
    scan = ferritin.read(folder / "raw.h5")
    maps = reconstruct(scan, targets=("echoes",), settings={"coils": {"method": method}}, device="cpu")
    info = next(i for i in maps.stages if i.stage == "coils")
    cost = {"seconds": round(info.seconds, 2), "peak_bytes": info.peak_bytes, "notes": info.record.notes}
    return errors(maps.echoes, folder) | cost


def errors(echoes: np.ndarray, folder: Path) -> dict[str, float]:
    """Median and 95th percentile [rad] of the absolute error of the phase growth, over all later echoes."""
    meta = json.loads((folder / "truth" / "scan.json").read_text())
    mask, field = (np.asarray(nib.load(folder / "truth" / f"{n}.nii.gz").dataobj) for n in ("mask", "total_field"))
    inside = ndi.distance_transform_edt(mask > 0, sampling=meta["voxel_mm"]) > 3
    te = 1e-3 * np.array(meta["te_ms"])
    hz = field[inside] * meta["hz_per_ppm"]
    found = []
    for echo, t in zip(echoes[1:], te[1:]):
        turn = (echo * echoes[0].conj())[inside] * np.exp(-2j * np.pi * hz * (t - te[0]))
        turn *= np.exp(-1j * np.angle(np.sum(turn / np.maximum(np.abs(turn), 1e-30))))
        found.append(np.abs(np.angle(turn)))
    return {f"phase_{name}_rad": round(float(np.percentile(found, q)), 5) for name, q in (("median", 50), ("p95", 95))}


def table(rows: dict[str, dict], few: str, many: str) -> str:
    """The result as text."""
    lines = [f"{'method':20} {'median rad':>18} {'p95 rad':>18} {'MiB':>11} {'ratio':>6}"]
    for name, row in rows.items():
        pair = lambda key, form: " / ".join(form(row[c][key]) if key in row[c] else "-" for c in (few, many))  # noqa: E731, B023
        lines.append(
            f"{name:20} {pair('phase_median_rad', '{:.4f}'.format):>18} {pair('phase_p95_rad', '{:.4f}'.format):>18} "
            f"{pair('peak_bytes', lambda b: f'{b / 2**20:.0f}'):>11} {row.get('peak_ratio', '-'):>6}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
