"""What peers and engine are given alike: one simulated head, as echoes, fields, coil images, and its truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import ndimage

from ferritin.phantom import Protocol, Scanner, simulate
from ferritin.phantom.signal import transmit_phase
from ferritin.run.bench.dataset import Dataset, make_dataset

COILS = 8


@dataclass(frozen=True)
class Scene:
    """The data in a folder, made on first use.

    folder : where they are kept. voxel_mm : of the images.
    """

    folder: Path
    voxel_mm: float = 2.5

    @property
    def protocol(self) -> Protocol:
        return Protocol(voxel_mm=(self.voxel_mm,) * 3, coils=COILS, snr=100)

    @cached_property
    def data(self) -> Dataset:
        return make_dataset(self.folder / "head", self.protocol, calcification=True)

    @cached_property
    def mask(self) -> np.ndarray:
        return self.data.mask

    @cached_property
    def inner(self) -> np.ndarray:
        """The mask less 5 mm: where no method is at its rim."""
        distance = ndimage.distance_transform_edt(self.mask, sampling=(self.voxel_mm,) * 3)
        return distance > 5

    @cached_property
    def echoes(self) -> np.ndarray:
        return self.data.given("echoes")

    @cached_property
    def true_phase(self) -> np.ndarray:
        """(echo, x, y, z) rad: what the phase is before it wraps, up to a constant."""
        path = self.folder / "phase0.npy"
        if not path.exists():
            scanner = Scanner(self.protocol, calcification=True)
            np.save(path, scanner.mean(sum(np.ix_(*transmit_phase(scanner.fine)))))
        field = self.data.truth("total_field") * self.data.hz_per_ppm
        te = np.array(self.data.params["TE"], np.float32)[:, None, None, None]
        return np.load(path) + np.float32(2 * np.pi) * te * field

    @cached_property
    def raw(self) -> Path:
        """The raw file of the same head."""
        folder = self.folder / "raw"
        if not (folder / "truth" / "scan.json").exists():
            simulate(folder, self.protocol)
        return folder / "raw.h5"

    @cached_property
    def coil_images(self) -> np.ndarray:
        """(coil, echo, x, y, z) complex64, whitened; from the raw file by the engine, the same for all."""
        path = self.folder / "coil_images.npy"
        if not path.exists():
            from ferritin.io import read
            from ferritin.registry import find

            scan = read(self.raw)
            images = find("image")(scan.data["raw"], scan).coil_images
            whole = np.empty(images.shape, np.complex64)
            for coil in range(images.shape[0]):
                for echo in range(images.shape[1]):
                    whole[coil, echo] = images[coil, echo]
            np.save(path, whole)
        return np.load(path)
