"""One stage alone, from files to files: what method developers and benchmarks call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ferritin.errors import InputError, ParameterError, ShapeError, UnknownMethodError
from ferritin.io import sidecar
from ferritin.io.echoes import load_phase
from ferritin.io.nifti import load_volume
from ferritin.io.volume import Grid, inside, real, require_nifti, single
from ferritin.io.writing import require_folder, write_json, write_nifti
from ferritin.run.config import choose
from ferritin.run.orientations import load_directions, load_orientations
from ferritin.run.pipeline import reconstruct
from ferritin.run.progress import Progress
from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS, STAGES
from ferritin.units import ms_to_s

_IMAGES = (*(a.name for a in ARTIFACTS.values() if a.axes and a.name != "b0_dirs"), "magnitude", "phase")
_ECHO_AXES = len(ARTIFACTS["echoes"].axes)


def run_stage(
    stage: str,
    files: Mapping[str, Path | Sequence[Path]],
    out: str | Path,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    te_ms: Sequence[float] = (),
    b0: float | None = None,
    noise_sd: float | None = None,
    phase_scaling: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run one stage on NIfTI files and write `out`/<artifact>.nii.gz, with a sidecar, for all that it produces.

    Parameters
    ----------
    files : {artifact: path}
        Units and axes as in stages.py (echoes last in the file; a single volume is one echo), all on one grid.
        `magnitude` and `phase` [rad], or one of them, make `echoes`. Several paths of `local_field`, `mask` and
        `magnitude` are several orientations of the head: all are registered to the first. `b0_dirs` is a text file.
    out : folder
        Made when it is not there. No output may take the place of an input.
    te_ms : echo times [ms]; b0 : field strength [T]
        Needed by the methods that use them.
    phase_scaling : unit of `phase`, when it cannot be recognised; see `ferritin.read`.

    Returns
    -------
    dict
        The stage's StageInfo, JSON-ready, and the names of the files written.
    """
    if stage not in STAGES:
        raise UnknownMethodError(f"no stage '{stage}'; the stages are {', '.join(STAGES)}")
    method, _ = choose(settings or {}, stage, len(te_ms) or 2)
    products = {name: Path(out) / f"{name}.nii.gz" for name in (STAGES[stage].gives.get(n, n) for n in method.produces)}
    require_folder(out)
    refuse_overwriting(products.values(), _paths(files))
    several = {name: path for name, path in files.items() if not isinstance(path, (str, Path))}
    values, affine, findings = _load_several(several, b0) if several else _load(files, phase_scaling)
    if noise_sd is not None:
        values["noise_sd"] = noise_sd
    lacking = [name for name in method.consumes if name not in values]
    if lacking:
        raise InputError(f"{stage} ({method.name}) needs {', '.join(lacking)}; give --in {lacking[0]}=FILE")
    shape = next(v.shape[-3:] for v in values.values() if getattr(v, "ndim", 0) >= 3)
    sequence = STAGES[stage].sequence or "gradient echo"
    scan = Scan([ms_to_s(t) for t in te_ms], b0, affine, shape, sequence=sequence, data=_placed(values, stage))
    maps = reconstruct(scan, targets=STAGES[stage].produces[:1], settings=settings, device=device, progress=progress)
    if maps.missing:
        remedy = "; give all echo times with --te-ms" if len(te_ms) < STAGES[stage].min_echoes else ""
        raise InputError(f"{stage}: {next(iter(maps.missing.values()))}{remedy}")
    made = {path: maps.artifacts.get(name) for name, path in products.items()}
    made = {path: array for path, array in made.items() if hasattr(array, "shape")}
    names = {STAGES[stage].takes.get(name, name): str(path) for name, path in files.items() if name not in several}
    said = {path: sidecar.of_map(name, scan, maps.stages, names) for name, path in products.items() if path in made}
    _write(Path(out), made, affine, said)
    info = maps.stages[0].as_dict()
    return info | {"findings": [str(finding) for finding in findings], "files": [str(path) for path in made]}


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise InputError when an output would take the place of an input."""
    given = {os.path.realpath(path) for path in inputs}
    for path in outputs:
        if os.path.realpath(path) in given:
            raise InputError(f"{path} is an input and would be overwritten; give another place with -o")


def _write(
    out: Path, arrays: Mapping[Path, np.ndarray], affine: np.ndarray, said: Mapping[Path, Mapping[str, Any]]
) -> None:
    """Images and sidecars, all files or none: they are made in a hidden folder inside `out` and renamed into place."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".ferritin-", dir=out) as hidden:
            for path, array in arrays.items():
                write_nifti(Path(hidden) / path.name, np.moveaxis(array, 0, -1) if array.ndim == 4 else array, affine)
                write_json(Path(hidden) / f"{_stem(path)}.json", said[path])
            for name in os.listdir(hidden):
                os.replace(Path(hidden) / name, out / name)
    except OSError as why:
        raise InputError(f"{out} cannot be written into ({why.strerror}); give another folder with -o") from why


def _stem(path: Path) -> str:
    return path.name.removesuffix(".nii.gz")


def _paths(files: Mapping[str, Path | Sequence[Path]]) -> list[Path]:
    return [Path(p) for paths in files.values() for p in ((paths,) if isinstance(paths, (str, Path)) else paths)]


def _placed(values: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """The files under the names that they have at this place of the chain, without the stage's own products."""
    takes, own = STAGES[stage].takes, STAGES[stage].produces
    placed = {takes.get(name, name): value for name, value in values.items()}
    return {name: value for name, value in placed.items() if name not in own}


def _load_several(
    files: Mapping[str, Sequence[Path]], b0: float | None
) -> tuple[dict[str, Any], np.ndarray, list[Any]]:
    """The artifacts of several orientations; see load_orientations."""
    for path in _paths(files):
        require_nifti(path)
    return load_orientations(files, b0)


def _load(files: Mapping[str, Path], phase_scaling: str | None) -> tuple[dict[str, Any], np.ndarray, list[Any]]:
    """Arrays by artifact, echoes first; the affine that all files share; how the phase was read."""
    arrays, first, findings = {}, None, []
    for name, path in files.items():
        if name == "b0_dirs":
            arrays[name] = load_directions(path)
            continue
        if name not in _IMAGES:
            raise ParameterError(f"--in {name}=...: no such artifact; there are {', '.join(_IMAGES)}, b0_dirs")
        require_nifti(path)
        if name == "phase":
            values, affine, findings = load_phase(path, phase_scaling)
        else:
            values, affine = load_volume(path)
        grid = Grid(Path(path), values.shape[:3], affine)
        first = first or grid
        grid.require(first)
        arrays[name] = _as_artifact(name, values, path)
    if first is None:
        raise InputError("--in names no image; give at least one NIfTI file, for example --in local_field=f.nii.gz")
    _require_values(arrays, files)
    return _with_echoes(arrays, files), first.affine, findings


def _as_artifact(name: str, values: np.ndarray, path: Path) -> np.ndarray:
    """The file's values with the axes and the dtype that the map of stages has for them."""
    n_axes, dtype = _ECHO_AXES, np.dtype(np.float32)
    if name in ARTIFACTS:
        n_axes, dtype = len(ARTIFACTS[name].axes), np.dtype(ARTIFACTS[name].dtype)
    if n_axes == 3:
        values = single(values, path)
    elif values.ndim == 3:  # one echo: a file does not keep an axis of length one
        values = values[None]
    else:
        values = np.moveaxis(values, -1, 0)
    if dtype.kind != "c":
        values = real(values, path)
    return inside(values, path) if dtype.kind == "b" else values.astype(dtype, order="C")


def _require_values(arrays: Mapping[str, np.ndarray], files: Mapping[str, Path]) -> None:
    """Raise InputError for a map without one number where it counts: it would come out as zeros."""
    mask = arrays.get("mask", ...)
    for name, array in arrays.items():
        volumes = array if array.ndim == 4 else array[None]
        if name != "b0_dirs" and not any(np.isfinite(volume[mask]).any() for volume in volumes):
            where = "" if mask is ... else f" inside the mask {files['mask']}"
            raise InputError(f"{files[name]} holds no finite value{where}; give a map of numbers that fits the mask")


def _with_echoes(arrays: dict[str, np.ndarray], files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Magnitude and phase, or one of them, as complex echoes."""
    if "magnitude" in arrays and "phase" in arrays:
        magnitude, phase = arrays.pop("magnitude"), arrays.pop("phase")
        if len(magnitude) != len(phase):
            raise ShapeError(
                f"{files['magnitude']} holds {len(magnitude)} echoes, {files['phase']} holds {len(phase)}; "
                "give both of the same echoes"
            )
        arrays["echoes"] = np.empty(magnitude.shape, np.complex64)
        for out, m, p in zip(arrays["echoes"], magnitude, phase):
            out.real, out.imag = m * np.cos(p), m * np.sin(p)
    elif "phase" in arrays:
        arrays["echoes"] = np.exp(1j * arrays.pop("phase")).astype(np.complex64)
    elif "magnitude" in arrays:
        arrays["echoes"] = arrays.pop("magnitude").astype(np.complex64)
    return arrays
