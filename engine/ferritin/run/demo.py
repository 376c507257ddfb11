"""The demo: a simulated raw head scan, reconstructed and compared with its truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from ferritin.backend import device_of
from ferritin.io.nifti import load_volume
from ferritin.io.writing import plain
from ferritin.metrics import correlation, nrmse, xsim
from ferritin.phantom import Protocol, simulate
from ferritin.phantom.folder import earlier
from ferritin.phantom.simulate import parts
from ferritin.report.montage import comparison
from ferritin.run.progress import Progress
from ferritin.run.recon import Options, Outcome, recon

_ERODED_MM = 3.0
_SEED = 1


def demo(folder: str | Path, *, voxel: float = 2.0, device: str = "auto") -> tuple[str, Outcome]:
    """Simulate a 7 T scan into `folder`/scan, reconstruct it into `folder`/maps, and describe the accuracy.

    A scan with the same parameters that is there already is taken. `folder`/comparison.png shows truth, result and
    difference side by side.

    Returns
    -------
    text : how close field, R2* and susceptibility come to the truth, inside the brain less 3 mm
    outcome : of the reconstruction
    """
    device = device_of(device)
    scan, maps = Path(folder) / "scan", Path(folder) / "maps"
    progress, protocol = Progress.for_terminal(), Protocol(voxel_mm=(voxel,) * 3)
    there = earlier(scan)
    if [there.get("protocol"), there.get("seed")] != [plain(protocol), _SEED] or not (scan / "raw.h5").exists():
        with progress.stages(parts()) as told:
            simulate(scan, protocol, seed=_SEED, stage=told.stage)
        shutil.rmtree(maps / "sub-01", ignore_errors=True)  # the maps of the scan that was replaced
    outcome = recon(scan / "raw.h5", maps, Options(device=device), progress)
    picture = Path(folder) / "comparison.png"
    comparison(scan / "truth", maps / "sub-01" / "anat", picture)
    return f"{accuracy(outcome.maps.artifacts, scan / 'truth')}\n  side by side    {picture}", outcome


def accuracy(artifacts: dict[str, np.ndarray], truth: Path) -> str:
    """A few lines of figures against the truth's maps."""
    said = json.loads((truth / "scan.json").read_text())
    true = {name: load_volume(truth / f"{name}.nii.gz")[0] for name in ("mask", "chi", "r2star", "total_field")}
    inside = distance_transform_edt(true["mask"] > 0, sampling=said["voxel_mm"]) > _ERODED_MM
    error = (artifacts["total_field"] - said["hz_per_ppm"] * true["total_field"])[inside]
    field = np.median(np.abs(error - np.median(error)))
    r2star = np.median(artifacts["r2star"][inside] / np.maximum(true["r2star"][inside], 1)) - 1
    chi = artifacts["chi"], true["chi"], inside
    return "\n".join(
        (
            f"against the truth, in {inside.sum()} voxels (brain less {_ERODED_MM:g} mm):",
            f"  total field     median error {field:.2f} Hz",
            f"  R2*             median bias {100 * r2star:+.1f} %",
            f"  susceptibility  correlation {correlation(*chi):.2f}, XSIM {xsim(*chi):.2f}, NRMSE {nrmse(*chi):.0f} %",
        )
    )
