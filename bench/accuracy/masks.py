"""Masks against the true brain on simulated heads: bench/results/masks.json and a picture.

    python bench/accuracy/masks.py --make-scan MAKE_SCAN.PY [--real REAL_DATA] [--work FOLDER]

Heads: coil-free images of the neutral simulator (seeds, voxel sizes, field strengths, oblique, warped), its raw scan
and the program's own phantom through the coil combination. The truth's brain is the whole one, with parts whose signal
is lost.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe

import ferritin
from ferritin import registry
from ferritin.phantom import Protocol, simulate
from ferritin.run.pipeline import reconstruct

METHODS = ("bet", "brain", "signal", "quality")
TOGETHER = ("quality", "signal")
LIMIT = 0.95
SHOWN = ("seed 1, 2 mm, 7 T", "seed 3, 1.25 mm, 3 T", "oblique, 1.25 mm, 7 T", "own phantom, raw, 7 T")


def cases(make_scan: Path, work: Path) -> dict[str, Path]:
    """Name to the file or folder to read; truth/ lies beside it. Made on first use."""
    out = {}
    for voxel in (2, 1.25):
        for b0 in (7, 3):
            common = ["--voxel", str(voxel), "--b0", str(b0), "--no-raw"]
            for seed in (1, 2, 3):
                out[f"seed {seed}, {voxel} mm, {b0} T"] = ["--seed", str(seed), *common]
            out[f"oblique, {voxel} mm, {b0} T"] = ["--oblique", "25", *common]
    out["warped, 2 mm, 7 T"] = ["--voxel", "2", "--seed", "2", "--warp", "8", "--no-raw"]
    out["seed 1, raw, 2 mm, 7 T"] = ["--voxel", "2", "--coils", "4"]
    for name, options in out.items():
        folder = work / name.replace(", ", "-").replace(" ", "")
        if not (folder / "truth" / "labels.tsv").exists():
            subprocess.run([sys.executable, make_scan, folder, *options], check=True)
        out[name] = folder / ("nifti" if "--no-raw" in options else "raw.h5")
    for b0 in (7.0, 3.0):
        folder = work / f"phantom-{b0:g}T"
        if not (folder / "truth" / "scan.json").exists():
            simulate(folder, Protocol(voxel_mm=(2.0,) * 3, b0_t=b0))
        out[f"own phantom, raw, {b0:g} T"] = folder / "raw.h5"
    return out


def echoes_of(source: Path, **options) -> tuple:
    """(scan, echoes, noise sd) of a raw file or a folder of images."""
    scan = ferritin.read(source, **options)
    if "echoes" in scan.data:
        return scan, np.asarray(scan.data["echoes"]), scan.data.get("noise_sd")
    maps = reconstruct(scan, targets=("echoes",), keep=("noise_sd",), device="cpu")
    return scan, maps.echoes, maps.artifacts.get("noise_sd")


def masks(scan, echoes, noise_sd) -> dict[str, tuple]:
    """Every method's mask, seconds and notes."""
    out = {}
    for name in METHODS:
        method = registry.find("mask", name)
        known = {"noise_sd": noise_sd} if "noise_sd" in method.optional else {}
        start = time.perf_counter()
        mask, record = method(echoes, scan=scan, **known)
        out[name] = mask, round(time.perf_counter() - start, 2), record.notes
    for name in TOGETHER:  # what the expression of this name gives
        out[f"bet & {name}"] = out["bet"][0] & out[name][0], round(out["bet"][1] + out[name][1], 2), ()
    return out


def score(mask: np.ndarray, brain: np.ndarray, signal: np.ndarray, voxel_ml: float) -> dict[str, float]:
    """Overlap with the brain, and the share of the measurable brain that is lost."""
    figures = {
        "dice": 2 * (mask & brain).sum() / (mask.sum() + brain.sum()),
        "outside_percent": 100 * (mask & ~brain).sum() / brain.sum(),
        "lost_percent": 100 * (signal & ~mask).sum() / signal.sum(),
        "ml": mask.sum() * voxel_ml,
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-scan", type=Path, required=True, help="the simulator's make_scan.py")
    parser.add_argument("--real", type=Path, help="folder of the small real acquisitions")
    parser.add_argument("--work", type=Path, default=Path("/tmp/ferritin-masks"), help="scans, kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results" / "masks.json")
    a = parser.parse_args()
    results, shown = {}, {}
    for name, source in cases(a.make_scan, a.work).items():
        scan, echoes, noise_sd = echoes_of(source)
        brain, signal = (
            np.asarray(nib.load(source.parent / "truth" / f"{n}.nii.gz").dataobj) > 0 for n in ("brain", "mask")
        )
        found = masks(scan, echoes, noise_sd)
        voxel_ml = float(np.prod(scan.voxel_mm)) * 1e-3
        results[name] = {
            "brain_ml": float(brain.sum() * voxel_ml),
            "methods": {
                m: score(mask, brain, signal, voxel_ml) | {"seconds": seconds, "notes": notes}
                for m, (mask, seconds, notes) in found.items()
            },
        }
        print(name, {m: figures["dice"] for m, figures in results[name]["methods"].items()}, flush=True)
        if name in SHOWN:
            shown[name] = np.abs(echoes[0]), brain, found["bet"][0], found["signal"][0]
    summary = {"machine": describe(), "limit_dice_bet": LIMIT, "heads": results}
    if a.real:
        summary["no whole head"] = no_heads(a.real)
    a.out.write_text(json.dumps(summary, indent=1) + "\n")
    picture(shown, a.out.with_suffix(".png"))
    below = [n for n, r in results.items() if r["methods"]["bet"]["dice"] < LIMIT]
    print(f"BET below {LIMIT} on: {', '.join(below)}" if below else f"BET reaches {LIMIT} on all {len(results)} heads")


def no_heads(folder: Path) -> dict:
    """What the default makes of a crop and of a phantom."""
    out = {}
    for name, options in (("romeo_7t_crop", {"te_ms": (4, 8, 12), "b0": 7}), ("twix_gre_2ch_phantom.h5", {})):
        scan, echoes, noise_sd = echoes_of(folder / name, **options)
        mask, record = registry.find("mask")(echoes, scan=scan, noise_sd=noise_sd)
        out[name] = {"share_of_volume": round(float(mask.mean()), 4), "notes": record.notes}
    return out


def picture(shown: dict, path: Path) -> None:
    """Truth, BET and signal mask over the first echo, three planes a head."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(shown), 3, figsize=(12, 3.6 * len(shown)), facecolor="white")
    for row, (name, (magnitude, *outlines)) in zip(axes, shown.items()):
        for axis, (panel, share) in enumerate(zip(row, (0.53, 0.5, 0.36))):
            cut = tuple(int(share * n) if i == axis else slice(None) for i, n in enumerate(magnitude.shape))
            panel.imshow(magnitude[cut].T, cmap="gray", origin="lower", vmax=np.percentile(magnitude, 99.7))
            for outline, colour in zip(outlines, ("#2ca02c", "#ff5a4f", "#ffd84d")):
                panel.contour(outline[cut].T, [0.5], colors=colour, linewidths=0.9)
            panel.set_axis_off()
        row[0].set_title(name, loc="left", fontsize=10)
    figure.text(0.01, 0.005, "green: true brain   red: bet   yellow: signal", fontsize=10)
    figure.tight_layout(rect=(0, 0.015, 1, 1))
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
