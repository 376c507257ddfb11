"""A head that another simulator scanned, as a dataset of the benchmark.

    python bench/accuracy/other_head.py SCAN OUT        then: ferritin bench --phantom OUT ...

SCAN holds coil-free images as NIfTI with BIDS names, and truth/ with chi, total_field, local_field [ppm], r2star [1/s],
mask, labels and scan.json (te_ms, b0_t, sigma). OUT gets the layout of QSM-CI's artifact contract.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from ferritin.io.nifti import load_volume
from ferritin.io.writing import write_json, write_nifti
from ferritin.run.bench.dataset import FILES, Dataset, isolate
from ferritin.scan import Scan

TRUTH = ("chi", "total_field", "local_field", "r2star", "labels")


def convert(scan: Path, out: Path, seed: int = 1) -> Dataset:
    """Write the dataset and return it; what is there already is kept."""
    if (out / "complete.json").exists():
        return Dataset(out)
    for place in ("input", "groundtruth"):
        (out / place).mkdir(parents=True, exist_ok=True)
    said = json.loads((scan / "truth" / "scan.json").read_text())
    affine = load_volume(scan / "truth" / "mask.nii.gz")[1]
    for part, name in (("mag", "magnitude"), ("phase", "phase")):
        files = sorted(scan.rglob(f"*part-{part}_MEGRE.nii.gz"), key=lambda f: (len(f.name), f.name))
        write_nifti(out / "input" / f"{name}.nii.gz", np.stack([load_volume(f)[0] for f in files], -1), affine)
    shutil.copy(scan / "truth" / "mask.nii.gz", out / "input" / "mask.nii.gz")
    for name in TRUTH:
        shutil.copy(scan / "truth" / f"{name}.nii.gz", out / "groundtruth" / f"{FILES[name]}.nii.gz")
    shape = load_volume(out / "input" / "mask.nii.gz")[0].shape
    geometry = Scan([1e-3 * t for t in said["te_ms"]], said["b0_t"], affine, shape)
    params = {
        "TE": geometry.te_s, "B0": said["b0_t"], "B0_dir": geometry.b0_dir, "voxel_size": geometry.voxel_mm,
        "noise_sd": said["sigma"],
    }  # fmt: skip
    write_json(out / "input" / "params.json", params)
    data = Dataset(out)
    noise = isolate(data, np.abs(data.given("echoes")), np.random.default_rng([seed, 3000]))
    write_json(out / "complete.json", {"made_from": said, "noise_hz": noise})
    return data


if __name__ == "__main__":
    print(convert(Path(sys.argv[1]), Path(sys.argv[2])).folder)
