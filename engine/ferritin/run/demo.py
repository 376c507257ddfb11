"""The demo: a simulated raw head scan, reconstructed and compared with its truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from ferritin.io.nifti import load_volume
from ferritin.metrics import correlation, nrmse, xsim
from ferritin.phantom import Protocol, simulate
from ferritin.run.progress import Progress
from ferritin.run.recon import Options, Outcome, recon

_ERODED_MM = 3.0


def demo(folder: str | Path, *, voxel: float = 2.0, device: str = "auto") -> tuple[str, Outcome]:
    """Simulate a 7 T scan into `folder`/scan (once), reconstruct it into `folder`/maps, and describe the accuracy.

    Returns
    -------
    text : how close field, R2* and susceptibility come to the truth, inside the brain less 3 mm
    outcome : of the reconstruction
    """
    scan, maps = Path(folder) / "scan", Path(folder) / "maps"
    progress = Progress.for_terminal()
    if not (scan / "truth" / "scan.json").exists():
        with progress.stages(["simulate"]) as bars, bars.stage("simulate", "7 T head, 4 echoes, 4 coils"):
            simulate(scan, Protocol(voxel_mm=(voxel,) * 3))
    outcome = recon(scan / "raw.h5", maps, Options(device=device), progress)
    return accuracy(outcome.maps.artifacts, scan / "truth"), outcome


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
