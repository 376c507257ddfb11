"""Write a simulated scan to a folder: raw ISMRMRD or BIDS NIfTI, and the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ferritin import __version__
from ferritin.errors import ParameterError
from ferritin.io.writing import write_json, write_nifti, write_text
from ferritin.phantom.acquire import write_raw
from ferritin.phantom.folder import MARK, replaced, sizes
from ferritin.phantom.kspace import band_limited
from ferritin.phantom.protocol import Protocol
from ferritin.phantom.scanner import Scanner
from ferritin.phantom.sequences import SEQUENCES, field_correlation, transmit_field
from ferritin.phantom.tissue import LABEL_NAMES
from ferritin.units import GAMMA_HZ_PER_T

Stage = Callable[[str, str], AbstractContextManager[Any]]
"""stage(part, what): a block around the making of one part, to tell how far the simulation is."""


def parts(format: str = "raw", also: Sequence[str] = ()) -> list[str]:
    """What a simulation makes, in order; each is a stage of it."""
    return ["head", *(p for p in ("raw", "bids") if format in (p, "both")), *also, "truth"]


def simulate(
    out: str | Path,
    protocol: Protocol | None = None,
    *,
    seed: int = 1,
    format: str = "raw",
    also: Sequence[str] = (),
    calcification: bool = True,
    haemorrhage: bool = False,
    spread: float = 0.0,
    stage: Stage = lambda part, what: nullcontext(),
) -> Scanner:
    """Simulate a scan of a digital head into a folder, in place of an earlier simulation there.

    Parameters
    ----------
    out : path
        Gets truth/*.nii.gz, truth/scan.json, and raw.h5 or a BIDS dataset (or both).
    protocol : Protocol, optional
    seed : int
        Head and noise; the same seed writes the same values.
    format : "raw", "bids" or "both"
    also : names of sequences
        More scans of the same head as NIfTI: "mese", "vfa", "ase", "saturation" (see sequences.py), and their truth.
    calcification, haemorrhage, spread
        Of the head; see Head.
    stage : callable, optional
        Stands around the making of each of `parts(format, also)`; see Progress.stage.

    Returns
    -------
    Scanner
        For more echoes or maps of the same head.

    Raises
    ------
    InputError, ParameterError
        The folder holds anything else than a simulation, or cannot be written; an option is wrong. It is as it was.

    Notes
    -----
    Sign: S = S0 exp(-R2* TE) exp(+i(φ0 + 2π f TE)). Truth: fields in ppm, maps on the image grid's affine (RAS+).
    """
    if format not in ("raw", "bids", "both"):
        raise ParameterError(f"format {format!r}; expected raw, bids or both")
    if unknown := sorted({*also} - {*SEQUENCES}):
        raise ParameterError(f"sequence {unknown[0]!r}; expected {', '.join(SEQUENCES)}")
    protocol = protocol or Protocol()
    with replaced(Path(out)) as folder:
        with stage("head", f"{protocol.b0_t:g} T, cells of {protocol.cell_mm:.3g} mm"):
            scanner = Scanner(protocol, seed, calcification=calcification, haemorrhage=haemorrhage, spread=spread)
        coils, raw, bids, more = (np.random.default_rng([seed, 1000 + i]) for i in range(4))
        echoes = f"{len(protocol.te_ms)} echoes"
        if format != "bids":
            with stage("raw", f"{echoes}, {protocol.coils} coils"):
                write_raw(folder / "raw.h5", scanner, coils, raw)
        if format != "raw":
            with stage("bids", echoes):
                write_bids(folder, scanner, bids)
        for name in also:
            with stage(name, "images"):
                write_sequence(folder, scanner, name, more)
        with stage("truth", "maps"):
            _write_truth(folder, scanner, seed, also)
    return scanner


def _write_truth(folder: Path, scanner: Scanner, seed: int, also: Sequence[str] = ()) -> None:
    """The maps, and last of all scan.json, which names what the simulation wrote."""
    p, truth = scanner.protocol, scanner.truth()
    if {*also} & {"mese", "vfa", "saturation"}:
        truth["b1"] = scanner.mean(transmit_field(scanner.fine, p.b0_t))
    if "ase" in also:
        r2, r2star = (scanner.head.rate(name, p.b0_t) for name in ("r2", "r2star"))
        truth["mfc"] = scanner.mean(field_correlation(r2, r2star) * scanner.head.brain) * scanner.mask
    (folder / "truth").mkdir()
    for name, volume in truth.items():
        write_nifti(folder / "truth" / f"{name}.nii.gz", volume, scanner.images.affine)
    rows = "".join(f"{i}\t{LABEL_NAMES[i]}\n" for i in sorted(LABEL_NAMES))
    write_text(folder / "truth" / "labels.tsv", "index\tname\n" + rows)
    write_json(
        folder / MARK,
        {
            "te_ms": p.te_ms, "b0_t": p.b0_t, "b0_dir_voxel": scanner.images.b0_dir, "voxel_mm": p.voxel_mm,
            "shape": scanner.images.shape, "sigma": scanner.sigma, "hz_per_ppm": scanner.hz_per_ppm,
            "seed": seed, "protocol": p.as_dict(), "fine_shape": scanner.fine.shape,
            "made_by": f"ferritin {__version__}", "files": sizes(folder),
        },
    )  # fmt: skip


def _bids_folder(out: Path) -> Path:
    """The folder of images of a BIDS dataset whose own files are written when they are not there."""
    folder = out / "sub-01" / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    description = {"Name": "Simulated head", "BIDSVersion": "1.9.0", "DatasetType": "raw", "License": "CC0"}
    write_json(out / "dataset_description.json", description)
    write_text(out / ".bidsignore", "truth/\nraw.h5\n*_ASE.*\n*_DSI.*\n")
    write_text(out / "README", "A digital head, scanned by ferritin's simulator. The truth is in truth/.\n")
    return folder


def _noise(scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    white = rng.standard_normal((*scanner.images.shape, 2), np.float32).view(np.complex64)[..., 0]
    return white * np.float32(scanner.sigma)


def write_sequence(out: Path, scanner: Scanner, name: str, rng: np.random.Generator) -> None:
    """Write the images of one more sequence as NIfTI with sidecars: magnitude, of complex noise as in the echoes."""
    folder = _bids_folder(out)
    for shot in SEQUENCES[name](scanner):
        image = band_limited(shot.signal.astype(np.complex64), scanner.images.shape) + _noise(scanner, rng)
        said = {"MagneticFieldStrength": scanner.protocol.b0_t, "Manufacturer": "SIMULATED", "Units": "arbitrary"}
        write_nifti(folder / f"sub-01_{shot.name}.nii.gz", np.abs(image), scanner.images.affine)
        write_json(folder / f"sub-01_{shot.name}.json", shot.sidecar | said)


def write_bids(out: Path, scanner: Scanner, rng: np.random.Generator) -> None:
    """Write coil-free magnitude and phase of every echo as a BIDS dataset."""
    p, folder = scanner.protocol, _bids_folder(out)
    for index, te_ms in enumerate(p.te_ms):
        image = scanner.echo(index) + _noise(scanner, rng)
        sidecar = {
            "EchoTime": round(1e-3 * te_ms, 7), "RepetitionTimeExcitation": round(1e-3 * p.tr_ms, 7),
            "RepetitionTime": round(1e-3 * p.tr_ms, 7), "FlipAngle": p.flip_deg, "MagneticFieldStrength": p.b0_t,
            "ImagingFrequency": 1e-6 * GAMMA_HZ_PER_T * p.b0_t, "Manufacturer": "SIMULATED",
        }  # fmt: skip
        for part, values, unit in (("mag", np.abs(image), "arbitrary"), ("phase", np.angle(image), "rad")):
            stem = folder / f"sub-01_echo-{index + 1}_part-{part}_MEGRE"
            write_nifti(f"{stem}.nii.gz", values, scanner.images.affine)
            write_json(f"{stem}.json", sidecar | {"Units": unit})
