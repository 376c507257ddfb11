"""From simulated raw scans to maps, scored against their truth: bench/results/end_to_end.json and a montage.

    python bench/accuracy/end_to_end.py --make-scan MAKE_SCAN.PY --real REAL_DATA [--work FOLDER] [--only NAME ...]

Every reconstruction is `ferritin recon` in a fresh process, whose peak resident memory is the kernel's own count.
Scores are taken inside the truth's mask eroded by 3 mm. Limits are those of the project's first milestone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe

from ferritin import metrics

CASES = {
    "seed 1": ["--seed", "1"],
    "seed 5": ["--seed", "5"],
    "oblique, warped": ["--seed", "1", "--oblique", "25", "--warp", "8"],
    "straight, warped": ["--seed", "1", "--warp", "8"],
}
COMMON = ["--voxel", "2", "--coils", "4"]
REGIONS = {8: "white_matter", 9: "grey_matter", 7: "thalamus", 3: "putamen", 1: "caudate"}
DEEP_GREY = (1, 2, 3, 4, 5, 6)
LIMITS = {
    "r2star_regions_percent": ("<=", 4.0),
    "field_median_hz": ("<=", 1.0),
    "field_wrong_percent": ("<=", 0.3),
    "chi_correlation": (">=", 0.75),
    "chi_xsim": (">=", 0.50),
    "chi_slope": ("in", (0.85, 1.1)),
    "affine_error_voxels": ("<=", 0.05),
    "peak_over_limit": ("<=", 1.0),
    "nifti_chi_correlation": (">=", 0.95),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-end-to-end"), help="scans and results, kept")
    parser.add_argument("--real", type=Path, required=True, help="folder of the small real acquisitions")
    parser.add_argument("--only", nargs="+", choices=[*CASES], help="some of the cases; writes no result file")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results" / "end_to_end.json")
    a = parser.parse_args()
    cases = {}
    for name in a.only or CASES:
        folder = simulate(a.make_scan, a.work / name.replace(", ", "-").replace(" ", "-"), [*COMMON, *CASES[name]])
        cases[name] = score_case(folder)
        print(name, json.dumps(cases[name], indent=1))
    if a.only:
        return
    summary = {
        "machine": describe(),
        "limits": {k: list(v) if isinstance(v, tuple) else v for k, v in LIMITS.items()},
        "cases": cases,
        "oblique_against_straight": against(cases["straight, warped"], cases["oblique, warped"]),
        "coils": coil_memory(a.make_scan, a.work),
        "real": real(a.real, a.work),
    }
    a.out.write_text(json.dumps(summary, indent=1) + "\n")
    montage(a.work / "seed-1", a.out.with_suffix(".png"))
    print("\n".join(failures(summary)) or "every limit is met")


def simulate(make_scan: Path, folder: Path, options: list[str]) -> Path:
    """The scan in `folder`, made on first use."""
    if not (folder / "raw.h5").exists():
        subprocess.run([sys.executable, make_scan, folder, *options], check=True)
    return folder


def recon(source: Path, out: Path, *options: str) -> dict:
    """`ferritin recon` in a fresh process, from nothing: seconds and peak memory [bytes]."""
    subprocess.run(["rm", "-rf", out], check=True)
    start = time.perf_counter()
    command = [sys.executable, "-m", "ferritin.run.cli", "recon", source, "-o", out, "--device", "cpu", *options]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 3):
        raise SystemExit(f"ferritin recon {source} ended with {code}")
    return {"seconds": round(time.perf_counter() - start, 2), "peak_bytes": usage.ru_maxrss * 1024, "exit": code}


def score_case(folder: Path) -> dict:
    """Every figure of one scan."""
    run = recon(folder / "raw.h5", folder / "out")
    anat = folder / "out" / "sub-01" / "anat"
    truth = {n: nib.load(folder / "truth" / f"{n}.nii.gz") for n in ("chi", "r2star", "total_field", "mask", "labels")}
    meta = json.loads((folder / "truth" / "scan.json").read_text())
    voxel = meta["voxel_mm"]
    data = {n: np.asarray(v.dataobj) for n, v in truth.items()}
    inside = eroded(data["mask"] > 0, voxel, 3.0)
    maps = ("Chimap", "R2starmap", "desc-total_fieldmap")
    chi, r2star, field = (np.asarray(nib.load(anat / f"sub-01_{n}.nii.gz").dataobj, np.float32) for n in maps)
    out = {"run": run, "voxels_scored": int(inside.sum())}
    out["r2star_regions"] = {
        name: 100
        * float(
            np.median(r2star[inside & (data["labels"] == label)])
            / np.median(data["r2star"][inside & (data["labels"] == label)])
            - 1
        )
        for label, name in REGIONS.items()
    }
    out["r2star_regions_percent"] = max(abs(v) for v in out["r2star_regions"].values())
    error = (field - data["total_field"] * meta["hz_per_ppm"])[inside]
    error -= np.median(error)
    spacing = 1e-3 * min(np.diff(meta["te_ms"]))
    out["field_median_hz"] = float(np.median(np.abs(error)))
    out["field_p95_hz"] = float(np.percentile(np.abs(error), 95))
    out["field_wrong_percent"] = 100 * float(np.mean(np.abs(error) > 1 / (4 * spacing)))
    out["chi_correlation"] = float(np.corrcoef(chi[inside], data["chi"][inside])[0, 1])
    out["chi_xsim"] = float(metrics.xsim(chi, data["chi"], inside, window="uniform"))
    out["chi_nrmse_percent"] = float(metrics.nrmse(chi, data["chi"], inside))
    out["chi_slope"] = slope(chi, data["chi"], data["labels"], inside)
    out["affine_error_voxels"] = affine_error(nib.load(anat / "sub-01_Chimap.nii.gz"), truth["chi"], voxel)
    out["peak_over_limit"] = run["peak_bytes"] / (0.6 * 2**30 + 60 * np.prod(meta["shape"]) * len(meta["te_ms"]))
    out["run_nifti"] = recon(folder / "nifti", folder / "out_nifti")
    other = next((folder / "out_nifti").glob("sub-*/anat/*_Chimap.nii.gz"))
    out["nifti_chi_correlation"] = float(np.corrcoef(chi[inside], np.asarray(nib.load(other).dataobj)[inside])[0, 1])
    return out


def real(folder: Path, work: Path) -> dict:
    """The real acquisitions: what was made of each, what could not be, and what the run says of the data."""
    sources = {
        "scanner phantom, 2 channels, one echo": (folder / "twix_gre_2ch_phantom.h5", ()),
        "7 T crop, three echoes": (folder / "romeo_7t_crop", ("--te-ms", "4", "8", "12", "--b0", "7")),
    }
    out = {}
    for name, (source, options) in sources.items():
        run = recon(source, work / "real" / source.stem, *options)
        said = json.loads(next((work / "real" / source.stem).glob("sub-*/*_recon.json")).read_text())
        verdicts = [v["message"] for v in said["verdicts"] if v["level"] != "ok"]
        out[name] = run | {k: said[k] for k in ("files", "missing", "warnings")} | {"verdicts": verdicts}
    return out


def eroded(mask: np.ndarray, voxel: list[float], mm: float) -> np.ndarray:
    """The voxels at least `mm` from the outside."""
    return ndi.distance_transform_edt(mask, sampling=voxel) > mm


def slope(chi: np.ndarray, truth: np.ndarray, labels: np.ndarray, inside: np.ndarray) -> float:
    """Slope of the deep grey nuclei's mean susceptibility against the truth's."""
    means = [(truth[r].mean(), chi[r].mean()) for r in (inside & (labels == i) for i in DEEP_GREY) if r.sum() > 5]
    return float(np.polyfit(*np.transpose(means), 1)[0])


def affine_error(image: nib.Nifti1Image, truth: nib.Nifti1Image, voxel: list[float]) -> float:
    """Largest distance between the two images' voxel centres at the corners, in voxels."""
    corners = np.array(np.meshgrid(*((0, n - 1) for n in truth.shape))).reshape(3, -1)
    there = [i.affine[:3, :3] @ corners + i.affine[:3, 3:] for i in (image, truth)]
    return float(np.linalg.norm(there[0] - there[1], axis=0).max() / min(voxel))


def against(straight: dict, oblique: dict) -> dict:
    """The oblique scan's figures over the straight one's; above 1 is worse for errors, below 1 for the others."""
    names = ("field_median_hz", "chi_correlation", "chi_xsim", "chi_slope")
    return {n: oblique[n] / straight[n] for n in names}


def coil_memory(make_scan: Path, work: Path) -> dict:
    """Peak memory with 16 coils against 4."""
    peaks = {}
    for coils in (4, 16):
        folder = simulate(make_scan, work / f"coils-{coils}", ["--voxel", "2", "--seed", "1", "--coils", str(coils)])
        peaks[coils] = recon(folder / "raw.h5", folder / "out")["peak_bytes"]
    return {"peak_bytes": peaks, "ratio": peaks[16] / peaks[4], "limit": 1.15}


def failures(summary: dict) -> list[str]:
    """The limits that are not met."""
    out = []
    for case, figures in summary["cases"].items():
        for name, (kind, limit) in LIMITS.items():
            value = figures[name]
            met = {"<=": lambda v, l: v <= l, ">=": lambda v, l: v >= l, "in": lambda v, l: l[0] <= v <= l[1]}[kind](
                value, limit
            )
            if not met:
                out.append(f"{case}: {name} = {value:.4g}, limit {kind} {limit}")
    if summary["coils"]["ratio"] > summary["coils"]["limit"]:
        out.append(f"16 coils need {summary['coils']['ratio']:.3f} x the peak of 4")
    ratios = summary["oblique_against_straight"]
    if ratios["field_median_hz"] > 1.05:
        out.append(f"oblique: field error {ratios['field_median_hz']:.3f} x the straight one's")
    out += [
        f"oblique: {n} {ratios[n]:.3f} x the straight one's"
        for n in ("chi_correlation", "chi_xsim")
        if ratios[n] < 0.95
    ]
    if not 0.95 <= ratios["chi_slope"] <= 1.05:
        out.append(f"oblique: slope {ratios['chi_slope']:.3f} x the straight one's")
    return out


def montage(folder: Path, path: Path) -> None:
    """Truth, result and difference of field, R2* and susceptibility."""
    from ferritin.report.montage import comparison

    comparison(folder / "truth", folder / "out" / "sub-01" / "anat", path)


if __name__ == "__main__":
    main()
