"""A simulated head with its truth, and what an inversion starts from on it: three fields of growing trouble.

true: the local field that the truth says. noisy: the same with the error of a field fit whose wraps are resolved by the
truth, and the maps of that fit. chain: what the default stages before the inversion make of the raw scan.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi

import ferritin
import ferritin_kernels
from ferritin import metrics
from ferritin.io import read
from ferritin.registry import Method, find
from ferritin.run.config import choose
from ferritin.run.pipeline import reconstruct
from ferritin.scan import Scan

VOXELS, SEEDS, ANGLES = (1.25, 2.0), (1, 2, 3), (0, 25)
KINDS = ("true", "noisy", "chain")
TE_MS, COILS = (4, 12, 20, 28), 4
CHAIN = ("local_field", "local_mask", "field_noise", "s0", "r2star", "chi")


class Head:
    """One simulated head: its truth, and what its echoes measure. Files are made and read on first use."""

    def __init__(self, make_scan: Path, work: Path, voxel: float, seed: int, angle: float):
        self.folder = folder = work / f"v{voxel:g}-s{seed}-o{angle:g}"
        if not (folder / "raw.h5").exists():
            said = ["--voxel", voxel, "--seed", seed, "--oblique", angle, "--coils", COILS, "--te", *TE_MS]
            subprocess.run([*map(str, (sys.executable, make_scan, folder, *said))], check=True)
        meta = json.loads((folder / "truth" / "scan.json").read_text())
        image = nib.load(folder / "truth" / "chi.nii.gz")
        self.noise_sd, self.te_s = meta["sigma"], tuple(1e-3 * t for t in meta["te_ms"])
        self.scan = Scan(self.te_s, meta["b0_t"], image.affine, image.shape, f0_hz=1e6 * meta["hz_per_ppm"])
        self.mask, self.labels = self.truth("mask") > 0, self.truth("labels")
        distance = ndi.distance_transform_edt(np.pad(self.mask, 1), sampling=self.scan.voxel_mm)
        self.scored = distance[1:-1, 1:-1, 1:-1] > 3

    def truth(self, name: str) -> np.ndarray:
        return np.asarray(nib.load(self.folder / "truth" / f"{name}.nii.gz").dataobj)

    def field(self, name: str) -> np.ndarray:
        """True field in Hz."""
        return (self.truth(name) * self.scan.hz_per_ppm).astype(np.float32)

    @cached_property
    def measured(self) -> dict[str, np.ndarray]:
        """Field with true wraps, its noise, and the decay, from the coil-free images; kept in a file."""
        return self._kept(f"measured-{engine()}", self._measure)

    @cached_property
    def chain(self) -> dict[str, np.ndarray]:
        """Maps of the default stages from raw data, by this engine; kept in a file."""
        return self._kept(f"chain-{engine()}", self._reconstruct)

    def given(self, kind: str) -> dict[str, np.ndarray]:
        """What an inversion may consume."""
        if kind == "true":
            return {"local_field": self.field("local_field"), "mask": self.mask}
        if kind == "chain":
            chain = {name: values for name, values in self.chain.items() if name != "chi"}
            return chain | {"mask": chain.pop("local_mask")}
        measured = dict(self.measured)
        local = self.field("local_field") + measured.pop("total_field") - self.field("total_field")
        return measured | {"local_field": local, "mask": self.mask}

    def score(self, found: np.ndarray, truth: str = "chi") -> dict:
        """Every metric of a map [ppm] inside the eroded mask."""
        labels = self.labels if truth == "chi" else None
        return metrics.evaluate(found, self.truth(truth), self.scored, labels, self.scan.voxel_mm)

    def _kept(self, name: str, make) -> dict[str, np.ndarray]:
        path = self.folder / f"{name}.npz"
        if not path.exists():
            np.savez(path, **make())
        with np.load(path) as file:
            return {key: file[key] for key in file.files}

    def _measure(self) -> dict[str, np.ndarray]:
        files = [f"nifti/sub-sim_echo-{i + 1}_part-{{}}_MEGRE.nii.gz" for i in range(len(self.te_s))]
        load = lambda part: np.stack([np.asarray(nib.load(self.folder / f.format(part)).dataobj) for f in files])  # noqa: E731
        magnitude, phase = load("mag"), load("phase")
        echoes = (magnitude * np.exp(1j * phase)).astype(np.complex64)
        true = 2 * np.pi * self.field("total_field") * np.array(self.te_s)[:, None, None, None]
        offset = np.angle((magnitude**2 * np.exp(1j * (phase - true))).sum(0))
        phase = (true + offset + np.angle(np.exp(1j * (phase - true - offset)))).astype(np.float32)
        field = find("field", "linear")(echoes, phase, self.mask, self.scan, self.noise_sd)
        decay = find("r2star")(echoes, self.mask, self.scan, self.noise_sd)
        return {
            "total_field": field.total_field,
            "field_noise": field.field_noise,
            "r2star": decay.r2star,
            "s0": decay.s0,
        }

    def _reconstruct(self) -> dict[str, np.ndarray]:
        scan = read(self.folder / "raw.h5")
        maps = reconstruct(scan, targets=("chi", "r2star"), keep=CHAIN, device="cpu").artifacts
        return {name: maps[name] for name in CHAIN}


def invert(method: Method, values: dict, scan: Scan, **settings):
    """A dipole method with its defaults and these settings on what there is."""
    _, keywords = choose({"dipole": {"method": method.name} | settings}, "dipole")
    mine = dict(values)
    if "field_mask" in method.consumes:  # a single step from the total field
        mine.setdefault("field_mask", values["mask"])
        mine.setdefault("total_field", values["local_field"])
    there = {name: mine[name] for name in (*method.consumes, *method.optional) if name in mine}
    return method(scan=scan, **there, **keywords)


def engine() -> str:
    """Digest of the engine's and the kernels' sources."""
    digest = hashlib.sha1()
    for package in (Path(ferritin.__file__).parent, Path(ferritin_kernels.__file__).parent):
        for path in sorted(package.rglob("*")):
            if path.suffix in (".py", ".cpp", ".hpp", ".cuh"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:10]
