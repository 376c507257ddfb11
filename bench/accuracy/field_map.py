"""Every way to a field map on every protocol, from simulated raw scans: bench/results/field_map.json and a picture.

    python bench/accuracy/field_map.py --make-scan MAKE_SCAN.PY [--work FOLDER] [--cases NAME ...] [--again]

The yardstick on each scan is the true-wrap fit: the weighted linear fit with an offset of the coil-free images, with
the wraps taken from the truth. Errors are scored inside the truth's mask, and inside it eroded by 3 mm, after one
constant has been taken off; a voxel is on a wrong wrap when it is off by more than 1 / (4 ΔTE). Scans, combined echoes
and scores stay in the work folder, so that a run that was stopped goes on where it was; --again scores anew. --so-far
--keep writes what is scored, leaves the other rows of the result file as they are, and names these in `kept`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from field_map_picture import picture
from machine import describe

import ferritin
from ferritin.registry import find, methods
from ferritin.scan import Scan
from ferritin.stages import TotalField

A, B, C = ("4", "12", "20", "28"), ("4", "8", "12", "16"), ("3", "6", "9", "12", "15")


def protocol(te: tuple[str, ...], *options: str, seed: int = 1, voxel: str = "2", coils: str = "4") -> list[str]:
    """Options of the simulator."""
    return ["--te", *te, "--seed", str(seed), "--voxel", voxel, "--coils", coils, *options]


CASES = {
    f"{b0} T, TE {'/'.join(te)}, seed {seed}": protocol(te, "--b0", b0, seed=seed)
    for b0 in ("7", "3")
    for te in (A, B, C)
    for seed in (1, 2, 3)
} | {
    "7 T, TE 4/12/20/28, bipolar": protocol(A, "--bipolar"),
    "7 T, TE 4/8/12/16, bipolar": protocol(B, "--bipolar"),
    "7 T, TE 3/6/9/12/15, bipolar": protocol(C, "--bipolar"),
    "7 T, TE 4/12/20, bipolar": protocol(A[:3], "--bipolar"),
    "7 T, TE 4/9, bipolar": protocol(("4", "9"), "--bipolar"),
    "3 T, TE 4/12/20/28, bipolar": protocol(A, "--bipolar", "--b0", "3"),
    "7 T, TE 4/9, two echoes": protocol(("4", "9")),
    "7 T, TE 4/12/20/28, SNR 25": protocol(A, "--snr", "25"),
    "7 T, TE 4/8/12/16, SNR 25": protocol(B, "--snr", "25"),
    "7 T, TE 4/12/20/28, oblique 25°": protocol(A, "--oblique", "25"),
    "7 T, TE 3/6/9/12/15, oblique 25°": protocol(C, "--oblique", "25"),
    "7 T, TE 4/12/20/28, 32 coils": protocol(A, coils="32"),
    "7 T, TE 4/12/20/28, 1.25 mm, 8 coils": protocol(A, voxel="1.25", coils="8"),
}
P95_LIMIT = 1.10
"""Times the true-wrap fit's."""
CALIBRATION = (0.62, 0.74)
SMOOTH_HZ = 10.0
"""Per voxel: below this slope the noise is held against the errors."""


class Truth(NamedTuple):
    """One scan's truth: field [Hz], masks, slope [Hz per voxel], and the coil-free echoes."""

    field: np.ndarray
    mask: np.ndarray
    inside: np.ndarray
    slope: np.ndarray
    free: np.ndarray
    te_s: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-field-map"), help="scans and scores, kept")
    parser.add_argument("--cases", nargs="+", help="those whose name holds one of these words; writes no result file")
    parser.add_argument("--methods", nargs="+", help="those whose name holds one of these words; writes no result file")
    parser.add_argument("--so-far", action="store_true", help="score nothing; write the result of the scored cases")
    parser.add_argument("--keep", action="store_true", help="keep the result file's rows that are not scored here")
    parser.add_argument("--again", action="store_true", help="score again what has been scored")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results" / "field_map.json")
    a = parser.parse_args()
    chosen = [name for name in CASES if not a.cases or any(word in name for word in a.cases)]
    if a.so_far:
        chosen = [name for name in chosen if (a.work / folder_of(name) / "errors.npz").exists()]
    results = {name: score_case(name, a) for name in chosen}
    if (a.cases or a.methods) and not a.so_far:
        return
    scored, kept = results, []
    if a.keep:
        results, kept = merged(json.loads(a.out.read_text())["cases"], scored)
    summary = {"machine": describe(), "default": default_way(), "cost": cost(a.work / folder_of(chosen[0]))}
    summary |= {"kept": kept}
    summary |= {"not_run": [name for name in CASES if name not in results]}
    summary |= {"failures": failures(results), "cases": results}
    a.out.write_text(json.dumps(summary, indent=1) + "\n")
    if not a.keep:
        picture(a.work, {name: folder_of(name) for name in results}, a.out.with_suffix(".png"))
    print("\n".join(summary["failures"]) or "every limit is met by the default")


def merged(before: dict, scored: dict) -> tuple[dict, list[str]]:
    """Rows of a result file with those scored anew in their place; and the cases whose default was not scored anew."""
    cases = {c: before.get(c, {}) | scored.get(c, {}) for c in CASES if c in before or c in scored}
    return cases, [c for c in cases if default_way() not in scored.get(c, {})]


def folder_of(case: str) -> str:
    """A case's folder in the work folder."""
    return "".join(c if c.isalnum() else "-" for c in case)


def score_case(name: str, a: argparse.Namespace) -> dict:
    """All methods' scores on one scan, taken from the work folder where they are."""
    folder = a.work / folder_of(name)
    path = folder / "scores.json"
    scores = json.loads(path.read_text()) if path.exists() else {}
    wanted = {m: f for m, f in ways().items() if not a.methods or any(word in m for word in a.methods)}
    if a.again:
        scores = {m: s for m, s in scores.items() if m not in wanted}
    if a.so_far or set(wanted) | {"true-wrap fit"} <= set(scores):
        return scores
    echoes, scan, noise_sd = combined(a.make_scan, folder, CASES[name])
    truth = read_truth(folder)
    errors = dict(np.load(folder / "errors.npz")) if (folder / "errors.npz").exists() else {}
    runs = {"true-wrap fit": lambda *_: true_wrap_fit(truth)} | wanted
    for method, way in runs.items():
        if method in scores:
            continue
        start = time.perf_counter()
        result = way(echoes, truth.mask, scan, noise_sd)
        scores[method] = score(result, truth) | {"seconds": round(time.perf_counter() - start, 2)}
        error = (result.total_field - truth.field) * truth.mask
        errors[method] = error[thickest(truth)].astype(np.float16)
        print(f"{name}: {method}", json.dumps(scores[method]), flush=True)
        path.write_text(json.dumps(scores, indent=1))
        np.savez(folder / "errors.npz", **errors)
    return scores


def ways() -> dict[str, Callable[..., TotalField]]:
    """Every way from echoes to a field: methods that unwrap themselves, and pairs of an unwrapping and a fit."""
    out = {}
    for fit in methods("field"):
        if "unwrapped_phase" not in fit.consumes:
            out[fit.name] = lambda echoes, mask, scan, sd, fit=fit: fit(echoes, mask, scan=scan, noise_sd=sd)
            continue
        for unwrap in methods("unwrap"):
            out[f"{unwrap.name} + {fit.name}"] = lambda *given, u=unwrap, f=fit: pair(u, f, *given)
    name = default_way()
    out[f"{name}, own mask"] = lambda echoes, _, scan, sd: out[name](
        echoes, find("mask")(echoes, scan=scan, noise_sd=sd).mask, scan, sd
    )
    return out


def default_way() -> str:
    """The name of what a reconstruction does when nothing is chosen."""
    fit = find("field")
    return f"{find('unwrap').name} + {fit.name}" if "unwrapped_phase" in fit.consumes else fit.name


def pair(unwrap, fit, echoes, mask, scan, noise_sd) -> TotalField:
    """An unwrapping and a fit; the fit is told of alternating polarity where it can know."""
    inputs = {"echoes": echoes, "mask": mask}
    phase = unwrap(*(inputs[name] for name in unwrap.consumes), scan=scan).unwrapped_phase
    knows = "bipolar" in {p.name for p in fit.parameters} and len(set(scan.polarity)) == 2 and len(echoes) > 2
    return fit(echoes, phase, mask, scan=scan, noise_sd=noise_sd, **({"bipolar": True} if knows else {}))


def combined(make_scan: Path, folder: Path, options: list[str]) -> tuple[np.ndarray, Scan, float]:
    """Echoes of the default combination, from the raw file; all made on first use."""
    if not (folder / "raw.h5").exists():
        subprocess.run([sys.executable, make_scan, folder, *options], check=True)
    scan = ferritin.read(folder / "raw.h5")
    if not (folder / "echoes.npy").exists():
        images = find("image")(scan.data["raw"], scan).coil_images
        result = find("coils")(images, scan)
        np.save(folder / "echoes.npy", result.echoes)
        (folder / "noise_sd.json").write_text(json.dumps(result.noise_sd))
    return np.load(folder / "echoes.npy"), scan, json.loads((folder / "noise_sd.json").read_text())


def read_truth(folder: Path) -> Truth:
    """The truth of a scan and its coil-free echoes."""
    meta = json.loads((folder / "truth" / "scan.json").read_text())
    load = lambda path: np.asarray(nib.load(folder / path).dataobj)  # noqa: E731
    mask = load("truth/mask.nii.gz") > 0
    field = (load("truth/total_field.nii.gz") * meta["hz_per_ppm"]).astype(np.float32)
    stem = "nifti/sub-sim_echo-{}_part-{}_MEGRE.nii.gz"
    parts = ([load(stem.format(e + 1, part)) for part in ("mag", "phase")] for e in range(len(meta["te_ms"])))
    free = np.stack([m * np.exp(1j * p) for m, p in parts]).astype(np.complex64)
    inside = ndi.distance_transform_edt(mask, sampling=meta["voxel_mm"]) > 3
    return Truth(field, mask, inside, slope_inside(field, mask), free, 1e-3 * np.array(meta["te_ms"]))


def slope_inside(field: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Length of the field's gradient [Hz per voxel], of central differences; infinite at the mask's rim."""
    total = np.sqrt(sum(g**2 for g in np.gradient(field)))
    return np.where(ndi.binary_erosion(mask), total, np.inf)


def true_wrap_fit(truth: Truth) -> TotalField:
    """The yardstick. The common offset is the average of the first echo's phase over 4 voxels, less the true one."""
    te = truth.te_s.astype(np.float32)[:, None, None, None]
    rest = truth.free * np.exp(-2j * np.pi * te * truth.field)
    around = ndi.gaussian_filter(rest[0].real, 2) + 1j * ndi.gaussian_filter(rest[0].imag, 2)
    phase = np.angle(rest * np.exp(-1j * np.angle(around)))
    weight = np.abs(truth.free) ** 2
    weight /= np.maximum(weight.sum(0), 1e-30)
    dt = te - (weight * te).sum(0)
    field = (weight * dt * phase).sum(0) / np.maximum((weight * dt**2).sum(0), 1e-30) / (2 * np.pi)
    return TotalField((truth.field + field).astype(np.float32), np.full(field.shape, np.nan, np.float32))


def score(result: TotalField, truth: Truth) -> dict:
    """Errors [Hz] and wrong wraps [%] in the mask and inside it; the share of errors within one noise sd."""
    error = result.total_field - truth.field
    error = np.abs(error - np.median(error[truth.mask]))
    limit = 1 / (4 * np.diff(truth.te_s).min())
    out = {}
    for name, where in (("mask", truth.mask), ("inside", truth.inside)):
        e = error[where]
        median, p95 = np.percentile(e, [50, 95])
        out[name] = {"median_hz": float(median), "p95_hz": float(p95), "wrong_percent": 100 * float(np.mean(e > limit))}
    smooth = truth.mask & (truth.slope < SMOOTH_HZ)
    if np.isfinite(result.field_noise[smooth]).any():
        out["within_one_sd"] = float(np.mean(error[smooth] < result.field_noise[smooth]))
    return out


def thickest(truth: Truth) -> int:
    """The sagittal slice with the steepest field."""
    return int(np.argmax(np.where(np.isfinite(truth.slope), truth.slope, 0).clip(0, 200).sum(axis=(1, 2))))


def cost(folder: Path) -> dict:
    """Seconds of the default in FFT pairs of the grid, and its memory beyond the echoes in float32 volumes."""
    words = [sys.executable, Path(__file__).with_name("field_map_cost.py"), folder]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def failures(results: dict) -> list[str]:
    """What the default misses."""
    out = []
    for case, scores in results.items():
        yardstick, mine = scores["true-wrap fit"], scores[default_way()]
        for where in ("mask", "inside"):
            ratio = mine[where]["p95_hz"] / yardstick[where]["p95_hz"]
            limit = 2 * yardstick[where]["wrong_percent"] + 0.02
            if ratio > P95_LIMIT:
                out.append(f"{case}: p95 {ratio:.2f} x the true-wrap fit's ({where})")
            if mine[where]["wrong_percent"] > limit:
                out.append(f"{case}: {mine[where]['wrong_percent']:.4f} % wrong wraps, limit {limit:.4f} ({where})")
        if not CALIBRATION[0] <= mine["within_one_sd"] <= CALIBRATION[1]:
            out.append(f"{case}: {mine['within_one_sd']:.3f} of the errors within one sd")
    return out


if __name__ == "__main__":
    main()
