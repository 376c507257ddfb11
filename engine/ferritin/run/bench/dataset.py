"""What a benchmark runs on: a folder in the layout of QSM-CI's artifact contract, made from a phantom or given.

    NAME/input/        phase, magnitude (x, y, z, echo), mask .nii.gz
                       params.json: TE [s], B0 [T], B0_dir, voxel_size [mm]
    NAME/groundtruth/  totalfield, localfield, chimap [ppm], dseg; ours add r2star [1/s]
    NAME/isolated/     what a stage is given when it stands alone: fields [ppm] with the noise that the echoes leave,
                       and r2star, s0, fieldnoise; a stage of a folder without it is given the ground truth

The contract: contract v2 in stages.yml of QSM-CI. Fields are ppm in files and Hz in the engine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ferritin.errors import FormatError, InputError
from ferritin.io.nifti import load_volume
from ferritin.io.writing import write_json, write_nifti
from ferritin.phantom import Protocol, Scanner
from ferritin.scan import Scan

FILES = {
    "total_field": "totalfield", "local_field": "localfield", "chi": "chimap", "mask": "mask", "r2star": "r2star",
    "s0": "s0", "field_noise": "fieldnoise", "labels": "dseg",
}  # fmt: skip
"""The engine's artifacts by the names of their files."""

FIELDS = ("total_field", "local_field", "field_noise")


class Dataset:
    """A benchmark's data, read when asked for.

    Parameters
    ----------
    folder : path
        With input/ and groundtruth/, or the input folder itself.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = self.folder.name
        self._input = self.folder / "input" if (self.folder / "input").is_dir() else self.folder
        if not (self._input / "params.json").exists():
            raise FormatError(f"{folder} holds no input/params.json; expected a folder with input/ and groundtruth/")

    @cached_property
    def params(self) -> dict[str, Any]:
        """TE [s], B0 [T], B0_dir, voxel_size [mm]; ours add noise_sd."""
        return json.loads((self._input / "params.json").read_text())

    @cached_property
    def file_affine(self) -> np.ndarray:
        """As the mask's file says it."""
        return load_volume(self._input / "mask.nii.gz")[1]

    @cached_property
    def affine(self) -> np.ndarray:
        """The file's; where the contract's B0_dir says otherwise than that, one with the direction of the contract."""
        affine = self.file_affine
        wanted = np.asarray(self.params.get("B0_dir", (0, 0, 1)), float)
        wanted /= np.linalg.norm(wanted)
        if np.allclose(Scan((), None, affine, (1, 1, 1)).b0_dir, wanted, atol=1e-3):
            return affine
        size = np.asarray(self.params["voxel_size"], float)
        side = np.cross(wanted, (0.0, 1, 0) if abs(wanted[1]) < 0.9 else (1.0, 0, 0))
        side /= np.linalg.norm(side)
        out = np.eye(4)
        out[:3, :3] = np.stack([side, np.cross(wanted, side), wanted]) * size
        return out

    @cached_property
    def mask(self) -> np.ndarray:
        """(x, y, z) bool."""
        return load_volume(self._input / "mask.nii.gz")[0] > 0

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Regions, when the folder has them."""
        path = self.folder / "groundtruth" / "dseg.nii.gz"
        return np.rint(load_volume(path)[0]).astype(np.int32) if path.exists() else None

    def scan(self, **data: Any) -> Scan:
        """The geometry and timing, with data."""
        return Scan(self.params["TE"], self.params["B0"], self.affine, self.mask.shape, data=data)

    @property
    def hz_per_ppm(self) -> float:
        """Hz that one ppm of B0 is worth."""
        return self.scan().hz_per_ppm

    def given(self, name: str) -> Any:
        """An artifact as a stage is given it, in the engine's unit; None when the folder has none."""
        if name == "mask":
            return self.mask
        if name == "noise_sd":
            return self.params.get("noise_sd")
        if name == "echoes":
            return self._echoes()
        for place in (self.folder / "isolated", self.folder / "groundtruth", self._input):
            path = place / f"{FILES[name]}.nii.gz"
            if path.exists():
                values = load_volume(path)[0].astype(np.float32)
                return values * np.float32(self.hz_per_ppm) if name in FIELDS else values
        return None

    def truth(self, name: str) -> np.ndarray:
        """The true map: fields and chi in ppm, rates in 1/s. Raises InputError when the folder has none."""
        path = self.folder / "groundtruth" / f"{FILES[name]}.nii.gz"
        if not path.exists():
            raise InputError(f"{self.folder} holds no groundtruth/{path.name}; {name} cannot be scored on it")
        return load_volume(path)[0].astype(np.float32)

    def _echoes(self) -> np.ndarray | None:
        if not (self._input / "phase.nii.gz").exists():
            return None
        phase, magnitude = (load_volume(self._input / f"{n}.nii.gz")[0] for n in ("phase", "magnitude"))
        return np.moveaxis(magnitude * np.exp(1j * phase), -1, 0).astype(np.complex64, order="C")


def is_whole(folder: Path) -> bool:
    """Whether `make_dataset` has made a dataset there and was not stopped in between."""
    return (folder / "complete.json").exists()


def make_dataset(folder: Path, protocol: Protocol, seed: int = 1, **individual: bool | float) -> Dataset:
    """Scan a digital head, write it as a dataset, and return that. What is there already is kept."""
    if not is_whole(folder):
        scanner = Scanner(protocol, seed, **individual)
        _write_input(folder / "input", scanner, np.random.default_rng([seed, 2000]))
        _write_truth(folder / "groundtruth", scanner)
        magnitudes = (np.abs(scanner.echo(i)) for i in range(len(protocol.te_ms)))
        noise = isolate(Dataset(folder), magnitudes, np.random.default_rng([seed, 3000]))
        said = {"protocol": protocol.as_dict(), "seed": seed, "individual": individual, "noise_hz": noise}
        write_json(folder / "complete.json", said)
    return Dataset(folder)


def isolate(data: Dataset, magnitudes: Iterable[np.ndarray], rng: np.random.Generator) -> float:
    """Write what stages that stand alone are given; returns the field's median noise [Hz].

    The true fields with the noise of the best estimate from echoes of these magnitudes, and R2* and S0 as the default
    method fits them: what inversions take for their weights.
    """
    from ferritin.run.pipeline import reconstruct

    place, mask = data.folder / "isolated", data.mask
    place.mkdir(exist_ok=True)
    information = sum((size * t) ** 2 for size, t in zip(magnitudes, data.params["TE"]))
    sigma = data.params["noise_sd"] / (2 * math.pi * data.hz_per_ppm)
    noise = np.where(mask, sigma / np.sqrt(np.maximum(information, 1e-12)), 0).astype(np.float32)
    write_nifti(place / f"{FILES['field_noise']}.nii.gz", noise, data.affine)
    white = rng.standard_normal(mask.shape, np.float32)
    for name in ("total_field", "local_field"):
        write_nifti(place / f"{FILES[name]}.nii.gz", data.truth(name) + noise * white, data.affine)
    given = {name: data.given(name) for name in ("echoes", "mask", "noise_sd")}
    maps = reconstruct(data.scan(**given), targets=("r2star", "s0"), device="cpu")
    for name in ("r2star", "s0"):
        write_nifti(place / f"{FILES[name]}.nii.gz", maps.artifacts[name], data.affine)
    return float(np.median(noise[mask])) * data.hz_per_ppm


def _write_input(folder: Path, scanner: Scanner, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    p, affine = scanner.protocol, scanner.images.affine
    shape = (*scanner.images.shape, len(p.te_ms))
    echoes = np.empty(shape, np.complex64)
    for index in range(len(p.te_ms)):
        white = rng.standard_normal((*scanner.images.shape, 2), np.float32).view(np.complex64)[..., 0]
        echoes[..., index] = scanner.echo(index) + white * np.float32(scanner.sigma)
    write_nifti(folder / "phase.nii.gz", np.angle(echoes), affine)
    write_nifti(folder / "magnitude.nii.gz", np.abs(echoes), affine)
    write_nifti(folder / "mask.nii.gz", scanner.mask, affine)
    params = {
        "TE": [1e-3 * t for t in p.te_ms], "B0": p.b0_t, "B0_dir": scanner.images.b0_dir,
        "voxel_size": p.voxel_mm, "noise_sd": scanner.sigma,
    }  # fmt: skip
    write_json(folder / "params.json", params)


def _write_truth(folder: Path, scanner: Scanner) -> None:
    folder.mkdir(exist_ok=True)
    truth, affine = scanner.truth(), scanner.images.affine
    for name in ("total_field", "local_field", "chi", "r2star", "labels"):
        write_nifti(folder / f"{FILES[name]}.nii.gz", truth[name], affine)
