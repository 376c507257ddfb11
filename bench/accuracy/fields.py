"""What an inversion starts from, out of a simulated scan with its truth: three fields of growing trouble.

true: the local field that the truth says. noisy: the same with the noise of a field fit whose wraps are resolved by the
truth, and the maps of that fit. chain: what the stages before the inversion make of the scan.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi

from ferritin import metrics
from ferritin.field import linear
from ferritin.io import read
from ferritin.relax import nonlinear
from ferritin.run.config import choose
from ferritin.run.pipeline import reconstruct
from ferritin.scan import Scan

KINDS = ("true", "noisy", "chain")


@dataclass(frozen=True)
class Head:
    """A simulated head: truth on the scan's grid, and the region that is scored (3 mm inside the mask)."""

    folder: Path
    scan: Scan
    truth: dict
    region: np.ndarray

    def score(self, chi: np.ndarray) -> dict:
        """The metrics of a map [ppm] that one looks at first."""
        found = metrics.evaluate(chi, self.truth["chi"], self.region, voxel_mm=self.scan.voxel_mm)
        return {name: round(found[name], 4) for name in ("nrmse", "xsim_uniform5", "hfen")}


def simulate(make_scan: Path, work: Path, voxel: float, seed: int, oblique: float) -> Path:
    """The folder of a scan, made on first use."""
    folder = work / f"v{voxel:g}-s{seed}-o{oblique:g}"
    if not (folder / "raw.h5").exists():
        options = ["--voxel", voxel, "--seed", seed, "--oblique", oblique, "--coils", 4]
        subprocess.run([sys.executable, make_scan, folder, *map(str, options)], check=True)
    return folder


def head(folder: Path) -> Head:
    """Read a scan's truth; the scan itself comes with the field of the kind that is asked for."""
    names = ("chi", "local_field", "total_field", "mask", "labels")
    images = {name: nib.load(folder / "truth" / f"{name}.nii.gz") for name in names}
    truth = {name: np.asarray(image.dataobj) for name, image in images.items()}
    meta = json.loads((folder / "truth" / "scan.json").read_text())
    truth["mask"] = truth["mask"] > 0
    scan = Scan(tuple(1e-3 * t for t in meta["te_ms"]), meta["b0_t"], images["chi"].affine, truth["chi"].shape)
    deep = ndi.distance_transform_edt(np.pad(truth["mask"], 1), sampling=scan.voxel_mm)[1:-1, 1:-1, 1:-1]
    return Head(folder, scan, truth, deep > 3.0)


def field(head: Head, kind: str) -> dict:
    """The artifacts that an inversion may consume, kept beside the scan in a file."""
    if kind == "true":
        local = (head.truth["local_field"] * head.scan.hz_per_ppm).astype(np.float32)
        return {"local_field": local, "mask": head.truth["mask"]}
    kept = head.folder / f"{kind}.npz"
    if not kept.exists():
        np.savez(kept, **{"noisy": _noisy, "chain": _chain}[kind](head))
    with np.load(kept) as f:
        return {name: f[name] for name in f.files}


def _noisy(head: Head) -> dict:
    """Truth plus the error of a field fit without wrap errors; noise, decay and edges from the same echoes."""
    echoes, _ = _echoes(head)
    total = (head.truth["total_field"] * head.scan.hz_per_ppm).astype(np.float32)
    te = np.array(head.scan.te_s, np.float32)[:, None, None, None]
    phase = np.angle(echoes)
    start = phase[0] - 2 * np.pi * te[0] * total
    phase += 2 * np.pi * np.rint((2 * np.pi * te * total + start - phase) / (2 * np.pi))
    mask = head.truth["mask"]
    fit = linear(echoes, phase.astype(np.float32), mask, head.scan)
    decay = nonlinear(echoes, mask, head.scan)
    local = (head.truth["local_field"] * head.scan.hz_per_ppm + fit.total_field - total) * mask
    return {
        "local_field": local.astype(np.float32),
        "mask": mask,
        "field_noise": fit.field_noise,
        "s0": decay.s0,
        "r2star": decay.r2star,
    }


def _chain(head: Head) -> dict:
    """The default stages from the raw scan, or from the coil-free echoes where there is no raw file."""
    scan = _scan(head)
    wanted = ("local_field", "local_mask", "field_noise", "total_field", "s0", "r2star", "field_mask")
    maps = reconstruct(scan, targets=("local_field", "r2star"), keep=wanted, device="cpu").artifacts
    return {"mask" if name == "local_mask" else name: maps[name] for name in wanted}


def _scan(head: Head) -> Scan:
    raw = head.folder / "raw.h5"
    return read(raw if raw.exists() else head.folder / "nifti")


def _echoes(head: Head) -> tuple[np.ndarray, Scan]:
    """Coil-free echoes of the same noise level."""
    scan = read(head.folder / "nifti")
    return scan.data["echoes"], scan


def invert(method, values: dict, scan: Scan, **settings):
    """A dipole method with its defaults and these settings on what there is."""
    _, keywords = choose({"dipole": {"method": method.name} | settings}, "dipole")
    mine = dict(values)
    if "field_mask" in method.consumes:  # a single step from the total field
        mine.setdefault("field_mask", values["mask"])
        mine.setdefault("total_field", values["local_field"])
    optional = {name: mine[name] for name in method.optional if name in mine}
    return method(*(mine[name] for name in method.consumes), scan=scan, **optional, **keywords)
