"""Magnitude and phase images with BIDS names and sidecars to a Scan, whether or not they lie in a BIDS dataset."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ferritin.errors import AmbiguousError, FormatError, InputError, ShapeError
from ferritin.io.nifti import Nifti, distance_mm, open_nifti
from ferritin.scan import Scan

_IMAGE, _LEFT_OUT = (".nii", ".nii.gz"), ("derivatives", "sourcedata", "code")
_MAX_FILES, _MAX_DEPTH = 20000, 6
_PART_WORDS = {"mag": "mag", "magnitude": "mag", "phase": "phase", "ph": "phase", "pha": "phase"}
_IMAGE_TYPES = {
    "M": "mag", "MAGNITUDE": "mag", "P": "phase", "PHASE": "phase", "R": "real", "REAL": "real", "I": "imag",
    "IMAGINARY": "imag",
}  # fmt: skip
_PREFERRED, _SPIN_ECHO = "MEGRE", "MESE"


@dataclass(frozen=True, eq=False)
class Image:
    """A NIfTI file and what its name and its sidecars say of it.

    entities : key and value of the name, without echo and part. words : the other parts of the name.
    """

    path: Path
    entities: dict[str, str]
    words: tuple[str, ...]
    part: str | None
    echo: int | None
    sidecar: dict[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> tuple:
        """What images of one scan have in common."""
        return str(self.path.parent), tuple(sorted(self.entities.items())), self.words


@dataclass(frozen=True, eq=False)
class Series:
    """The images of one scan: magnitude and phase files in the order of the echoes (one file when they are 4-D).

    Spin echoes have no phase.
    """

    magnitude: tuple[Image, ...]
    phase: tuple[Image, ...]
    left_out: tuple[Path, ...] = ()
    sequence: str = "gradient echo"

    @property
    def subject(self) -> str | None:
        """Subject label of the names."""
        return self.magnitude[0].entities.get("sub")


def read(
    path: Path,
    *,
    te_ms: Sequence[float] | None = None,
    b0: float | None = None,
    polarity: str | Sequence[int] | None = None,
    phase_scaling: str | None = None,
    phase_sign: str | int = "+",
    sequence: str | None = None,
    before_voxels: Callable[[Scan], None] | None = None,
) -> Scan:
    """Read a folder of images; see ferritin.io.read. The scan's data hold `echoes`, (echo, x, y, z) complex64."""
    from ferritin.io.echoes import scan_of_series

    return scan_of_series(
        path, find_series(path, sequence), phase_scaling=phase_scaling, phase_sign=phase_sign,
        before_voxels=before_voxels, te_ms=te_ms, b0=b0, polarity=polarity,
    )  # fmt: skip


def find_series(folder: Path, sequence: str | None = None) -> Series:
    """The one scan with magnitude and phase in a folder, or the one of spin echoes.

    sequence : "gradient echo" or "spin echo"; None: spin echoes only where there are no gradient echoes.

    Raises
    ------
    InputError
        No images, or none of the kind that is wanted.
    AmbiguousError
        Images of several subjects, sessions or scans.
    """
    images = [parse_name(p) for p in _images_below(folder)]
    if not images:
        raise InputError(
            f"{folder} holds no .nii or .nii.gz file; expected magnitude and phase images, or give a .h5 file"
        )
    groups: dict[tuple, list[Image]] = {}
    for image in images:
        groups.setdefault(image.group, []).append(image)
    root = _dataset_root(folder)
    groups = {key: _parts_of_dcm2niix(group, root) for key, group in groups.items()}
    spin = [[i for i in g if i.part in ("mag", None)] for g in groups.values() if g[0].words[-1:] == (_SPIN_ECHO,)]
    complete = [g for g in groups.values() if {"mag", "phase"} <= {i.part for i in g}]
    complete = [g for g in complete if g[0].words[-1:] != (_SPIN_ECHO,)]
    if sequence == "spin echo" or (sequence is None and not complete and any(spin)):
        return _spin_echoes(folder, images, [g for g in spin if g])
    if not complete:
        names = ", ".join(i.path.name for i in images[:4])
        raise InputError(
            f"{folder} holds {len(images)} images ({names}), none with both magnitude and phase; "
            "expected names with part-mag and part-phase"
        )
    preferred = [g for g in complete if g[0].words[-1:] == (_PREFERRED,)] or complete
    if len(preferred) > 1:
        raise AmbiguousError(
            f"{folder} holds {len(preferred)} scans ({_differences(preferred)}); give the folder of one"
        )
    used = [with_sidecar(i, root) for i in preferred[0] if i.part in ("mag", "phase")]
    names = {i.path for i in used}
    series = Series(
        *(_in_order([i for i in used if i.part == part], folder) for part in ("mag", "phase")),
        left_out=tuple(i.path for i in images if i.path not in names),
    )
    if len(series.magnitude) != len(series.phase):
        raise InputError(
            f"{folder}: {len(series.magnitude)} magnitude and {len(series.phase)} phase images; expected one of each "
            "for each echo"
        )
    return series


def _parts_of_dcm2niix(group: list[Image], root: Path) -> list[Image]:
    """The images of a group whose phase has a word for its part and whose magnitude has none: scan_e1, scan_e1_ph.

    ImageType in the sidecar tells what an image without a word is, where it says so; else it is magnitude.
    """
    parts = {i.part for i in group}
    if "mag" in parts or not {"phase", None} <= parts:
        return group
    out = []
    for image in group:
        said = set() if image.part else {str(v).upper() for v in _listed(with_sidecar(image, root), "ImageType")}
        part = next((p for name, p in _IMAGE_TYPES.items() if name in said), "mag")
        out.append(image if image.part else replace(image, part=part))
    return out


def _listed(image: Image, key: str) -> list[Any]:
    value = image.sidecar.get(key, [])
    return value if isinstance(value, list) else [value]


def _spin_echoes(folder: Path, images: list[Image], groups: list[list[Image]]) -> Series:
    """The magnitudes of the one multi-echo spin echo."""
    if not groups:
        raise InputError(f"{folder} holds no spin echoes; expected magnitude images with names like echo-1_MESE.nii.gz")
    if len(groups) > 1:
        raise AmbiguousError(
            f"{folder} holds {len(groups)} spin-echo scans ({_differences(groups)}); give the folder of one"
        )
    magnitude = _in_order([with_sidecar(i, _dataset_root(folder)) for i in groups[0]], folder)
    names = {i.path for i in magnitude}
    left_out = tuple(i.path for i in images if i.path not in names)
    return Series(magnitude, (), left_out, "spin echo")


def _dataset_root(folder: Path) -> Path:
    """The BIDS dataset that a folder belongs to; the folder itself when there is none."""
    here = folder.resolve()
    roots = [f for f in (here, *here.parents) if (f / "dataset_description.json").exists()]
    return roots[0] if roots else here


def _images_below(folder: Path) -> list[Path]:
    """All images in a folder and its sub-folders, without hidden ones and those that hold no measured data.

    Derivatives lie in a folder of that name, or say so; they are read only when their folder itself is given.
    """
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        depth = len(Path(parent).relative_to(folder).parts)
        below = [f for f in folders if f[0] != "." and f not in _LEFT_OUT and not _is_derivative(Path(parent) / f)]
        folders[:] = sorted(below) if depth < _MAX_DEPTH else []
        found += [Path(parent) / f for f in sorted(files) if f.endswith(_IMAGE) and f[0] != "."]
        if len(found) > _MAX_FILES:
            raise InputError(f"{folder} holds more than {_MAX_FILES} images; give the folder of one scan")
    return found


def _is_derivative(folder: Path) -> bool:
    try:
        return _json(folder / "dataset_description.json").get("DatasetType") == "derivative"
    except FormatError:  # not there, as a rule
        return False


def parse_name(path: Path) -> Image:
    """Entities, echo and part of a file name: BIDS, or words such as Mag.nii, scan_e2_ph.nii.gz."""
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    entities, words, part, echo = {}, [], None, None
    for token in stem.split("_"):
        key, dash, value = token.partition("-")
        number = re.fullmatch(r"e(?:cho)?-?(\d+)", token, re.IGNORECASE)
        if number:
            echo = int(number[1])
        elif key == "part" and dash:
            part = value
        elif dash and key.isalnum() and value.isalnum():
            entities[key] = value
        elif token.lower() in _PART_WORDS and part is None:
            part = _PART_WORDS[token.lower()]
        else:
            words.append(token)
    return Image(path, entities, tuple(words), part, echo)


def with_sidecar(image: Image, root: Path) -> Image:
    """The image with its metadata: the JSON beside it, and those above that apply to it (BIDS inheritance)."""
    content: dict[str, Any] = {}
    here = image.path.parent.resolve()
    folders = [f for f in (here, *here.parents) if f == root or root in f.parents]
    suffix = image.words[-1:]
    own = image.path.name.removesuffix(".gz").removesuffix(".nii") + ".json"
    for folder in reversed(folders or [here]):
        above = []
        for path in sorted(folder.glob("*.json")):
            other = parse_name(path.with_suffix(".nii"))
            applies = other.entities.items() <= image.entities.items() and other.words[-1:] == suffix != ()
            if path.name != own and applies and other.part in (None, image.part) and other.echo in (None, image.echo):
                above.append((len(other.entities) + (other.echo is not None) + (other.part is not None), path))
        for _, path in sorted(above):
            content |= _json(path)
    beside = image.path.with_name(own)
    if beside.exists():
        content |= _json(beside)
    return Image(image.path, image.entities, image.words, image.part, image.echo, content)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as why:
        raise FormatError(f"{path} is not valid JSON ({why}); mend the sidecar") from None
    if not isinstance(content, dict):
        raise FormatError(f"{path} holds a {type(content).__name__}, expected an object of metadata; mend the sidecar")
    return content


def _in_order(images: list[Image], folder: Path) -> tuple[Image, ...]:
    """By echo number; by echo time where the names have none."""
    if len(images) == 1:
        return tuple(images)
    numbers = [i.echo for i in images]
    if None in numbers:
        times = [i.sidecar.get("EchoTime") for i in images]
        if not all(isinstance(t, int | float) for t in times):
            names = ", ".join(i.path.name for i in images[:4])
            raise InputError(f"{folder}: the order of {names} is not known; name them with echo-1, echo-2, ...")
        return tuple(sorted(images, key=lambda i: i.sidecar["EchoTime"]))
    if len(set(numbers)) != len(numbers):
        raise AmbiguousError(
            f"{folder}: two {images[0].part} images of one echo (echoes {sorted(numbers)}); remove one"
        )
    return tuple(sorted(images, key=lambda i: i.echo))


def _differences(groups: list[list[Image]]) -> str:
    """What tells the first few scans of a folder apart."""
    names = []
    for group in groups[:6]:
        entities = [f"{k}-{v}" for k, v in group[0].entities.items()]
        names.append("_".join([*entities, *group[0].words]) or group[0].path.parent.name)
    return ", ".join(names) + (", ..." if len(groups) > 6 else "")


def open_all(images: Sequence[Image]) -> list[Nifti]:
    """Open the files of a scan and check that they lie on one grid, to a twentieth of a voxel. Raises ShapeError."""
    files = [open_nifti(i.path) for i in images]
    first = files[0]
    voxel = min((first.affine[:3, :3] ** 2).sum(axis=0)) ** 0.5
    for other in files[1:]:
        if other.shape != first.shape:
            raise ShapeError(
                f"{other.path} has shape {other.shape}, {first.path.name} has {first.shape}; "
                "expected one grid for all echoes"
            )
        apart = distance_mm(first.shape, first.affine, other.affine)
        if not apart <= 0.05 * voxel:
            raise ShapeError(
                f"{other.path} lies {apart:.3g} mm from {first.path.name} by its affine; expected one grid for all "
                "echoes, resample or mend the header"
            )
    return files
