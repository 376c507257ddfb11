"""Two simulators that share no code, reconstructed by the same command: do signs, geometry and scale agree?

    python bench/accuracy/two_sources.py OURS OTHER

Each folder holds raw.h5 and truth/ (chi, total_field in ppm, r2star, mask, scan.json), as `ferritin simulate` writes
them. Writes bench/results/two_sources.json: slope and correlation of each map against its own truth, inside the mask
less 3 mm, and how far the affines are apart. Equal conventions give slopes near 1 in both.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe

from ferritin.io.nifti import load_volume
from ferritin.run.progress import Progress
from ferritin.run.recon import Options, recon

RESULT = Path(__file__).resolve().parents[1] / "results" / "two_sources.json"
MAPS = {
    "chi": "sub-01_Chimap", "total_field": "sub-01_desc-total_fieldmap", "local_field": "sub-01_desc-local_fieldmap",
    "r2star": "sub-01_R2starmap",
}  # fmt: skip


def compare(folder: Path, work: Path) -> dict:
    """Reconstruct a folder's raw file and set the maps against its truth."""
    recon(folder / "raw.h5", work, Options(mask=folder / "truth" / "mask.nii.gz"), Progress.silent())
    said = json.loads((folder / "truth" / "scan.json").read_text())
    mask, affine = load_volume(folder / "truth" / "mask.nii.gz")
    inside = ndimage.distance_transform_edt(mask > 0, sampling=said["voxel_mm"]) > 3
    out = {"b0_dir_voxel": said["b0_dir_voxel"]}
    for name, file in MAPS.items():
        truth, _ = load_volume(folder / "truth" / f"{name}.nii.gz")
        ours, ours_affine = load_volume(work / "sub-01" / "anat" / f"{file}.nii.gz")
        scale = said["hz_per_ppm"] if name.endswith("field") else 1.0
        x, t = ours[inside].astype(float) / scale, truth[inside].astype(float)
        keep = np.isfinite(x) & (x != 0) & (np.abs(t - np.median(t)) < 8 * np.std(t))
        x, t = x[keep], t[keep]
        out[name] = {"slope": float(np.polyfit(t, x, 1)[0]), "correlation": float(np.corrcoef(x, t)[0, 1])}
        out[name]["affine_mm"] = float(np.abs(ours_affine - affine).max())
    return out


def main() -> None:
    """Compare both folders and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path)
    parser.add_argument("other", type=Path)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = {n: compare(f, Path(work) / n) for n, f in (("ours", a.ours), ("other", a.other))}
    RESULT.write_text(json.dumps({"machine": describe()} | rows, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
