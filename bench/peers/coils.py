"""Coil combination: maps of BART (ecalib, caldir), sigpy (ESPIRiT, JSENSE) and mrpro (Walsh), combined by them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from entry import ENTRIES, Entry, entry
from scene import Scene

from ferritin.phantom.kspace import centred_fft
from ferritin.registry import methods


def score(echoes: np.ndarray, scene: Scene) -> dict[str, float]:
    """Phase between the first and each later echo against the truth, inside."""
    inner, true = scene.inner, scene.true_phase
    turn = echoes[1:] * echoes[0].conj() * np.exp(-1j * (true[1:] - true[0]))
    error = np.angle(turn[:, inner])
    error = np.angle(np.exp(1j * (error - np.median(error, 1, keepdims=True))))
    return {"phase_error_rad": float(np.sqrt(np.median(error**2)))}


def _ours(method):
    def prepare(scene: Scene):
        images, scan = scene.coil_images, scene.data.scan()
        keywords = {p.keyword: p.default for p in method.parameters}
        return lambda: method(images, scan=scan, **keywords).echoes

    return prepare


for _method in methods("coils"):
    ENTRIES.append(Entry("coils", f"ferritin {_method.name}", _ours(_method), (), _method.source, ours=True))


def combined(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Sum of conj(map) times image over the sum of |map|², each echo; images (coil, echo, ...), maps (coil, ...)."""
    weight = maps.conj() / np.maximum((np.abs(maps) ** 2).sum(0), 1e-6 * np.abs(maps).max() ** 2)
    return np.einsum("cxyz,cexyz->exyz", weight, images, optimize=True)


def _first_kspace(scene: Scene) -> np.ndarray:
    """(coil, x, y, z) k-space of the first echo."""
    return np.stack([centred_fft(image, (0, 1, 2)) for image in scene.coil_images[:, 0]])


def _calibration(k: np.ndarray, width: int) -> np.ndarray:
    return k[(slice(None), *(slice(n // 2 - width // 2, n // 2 + width // 2) for n in k.shape[1:]))]


@entry("coils", "sigpy ESPIRiT", "sigpy", about="EspiritCalib slice by slice (its CPU memory allows no volume)")
def sigpy_espirit(scene: Scene):
    from sigpy.mri.app import EspiritCalib

    images = scene.coil_images
    hybrid = np.stack([centred_fft(image, (1, 2)) for image in images[:, 0]])

    def run() -> np.ndarray:
        maps = [EspiritCalib(hybrid[:, x], calib_width=24, show_pbar=False).run() for x in range(hybrid.shape[1])]
        return combined(images, np.stack(maps, 1))

    return run


@entry("coils", "sigpy JSENSE", "sigpy", about="JsenseRecon on the central 16³ of k-space")
def sigpy_jsense(scene: Scene):
    from sigpy.mri.app import JsenseRecon

    images, k = scene.coil_images, _first_kspace(scene)
    middle = np.zeros_like(k)
    at = tuple(slice(n // 2 - 8, n // 2 + 8) for n in k.shape[1:])
    middle[(slice(None), *at)] = k[(slice(None), *at)]
    middle /= np.abs(middle).max()

    def run() -> np.ndarray:
        maps = JsenseRecon(middle, mps_ker_width=8, ksp_calib_width=16, max_iter=3, show_pbar=False).run()
        return combined(images, maps)

    return run


def _bart(name: str, *words: str):
    def prepare(scene: Scene):
        folder = Path(tempfile.mkdtemp())
        images, k = scene.coil_images, _first_kspace(scene)
        write_cfl(folder / "k", np.moveaxis(k, 0, -1))

        def run() -> np.ndarray:
            subprocess.run(["bart", *words, folder / "k", folder / "maps"], check=True, capture_output=True)
            return combined(images, np.moveaxis(read_cfl(folder / "maps"), -1, 0))

        return run

    ENTRIES.append(Entry("coils", name, prepare, ("bart",), "files included: " + " ".join(("bart", *words))))


_bart("BART ecalib", "ecalib", "-m1", "-r24")
_bart("BART caldir", "caldir", "24")


def write_cfl(path: Path, values: np.ndarray) -> None:
    """BART's format: sizes as text, complex64 in Fortran order."""
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, values.shape)) + "\n")
    path.with_suffix(".cfl").write_bytes(np.asarray(values, np.complex64).tobytes("F"))


def read_cfl(path: Path) -> np.ndarray:
    """The inverse, trailing axes of 1 dropped beyond the fourth."""
    shape = [int(n) for n in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    values = np.fromfile(path.with_suffix(".cfl"), np.complex64).reshape(shape, order="F")
    return values.reshape(shape[:4], order="F")


@entry("coils", "mrpro Walsh", "mrpro", "torch", about="mrpro.algorithms.csm.walsh on the first echo")
def mrpro_walsh(scene: Scene):
    import torch
    from mrpro.algorithms.csm import walsh
    from mrpro.data import SpatialDimension

    images = scene.coil_images
    first = torch.from_numpy(np.ascontiguousarray(images[:, 0]))

    def run() -> np.ndarray:
        return combined(images, walsh(first, SpatialDimension(5, 5, 5)).numpy())

    return run
