"""One stage alone, from files to files: what method developers and benchmarks call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ferritin.errors import InputError, ParameterError, ShapeError, UnknownMethodError
from ferritin.io.echoes import load_phase
from ferritin.io.nifti import load_volume
from ferritin.io.writing import write_nifti
from ferritin.run.config import choose
from ferritin.run.orientations import load_directions, load_orientations
from ferritin.run.pipeline import reconstruct
from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS, STAGES
from ferritin.units import ms_to_s


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
) -> dict[str, Any]:
    """Run one stage on NIfTI files and write `out`/<artifact>.nii.gz for all that it produces.

    Parameters
    ----------
    files : {artifact: path}
        Units and axes as in stages.py (echoes last in the file). `magnitude` and `phase` [rad], or one of them, make
        `echoes`. Several paths of `local_field`, `mask` and `magnitude` are several orientations of the head: all are
        registered to the first. `b0_dirs` is a text file.
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
    several = {name: path for name, path in files.items() if not isinstance(path, (str, Path))}
    values, affine, findings = load_orientations(several, b0) if several else _load(files, phase_scaling)
    if noise_sd is not None:
        values["noise_sd"] = noise_sd
    lacking = [name for name in method.consumes if name not in values]
    if lacking:
        raise InputError(f"{stage} ({method.name}) needs {', '.join(lacking)}; give --in {lacking[0]}=FILE")
    shape = next(v.shape[-3:] for v in values.values() if getattr(v, "ndim", 0) >= 3)
    sequence = STAGES[stage].sequence or "gradient echo"
    scan = Scan([ms_to_s(t) for t in te_ms], b0, affine, shape, sequence=sequence, data=_placed(values, stage))
    maps = reconstruct(scan, targets=STAGES[stage].produces[:1], settings=settings, device=device)
    if maps.missing:
        raise InputError(f"{stage}: {next(iter(maps.missing.values()))}; give all echo times with --te-ms")
    info = maps.stages[0].as_dict()
    info["findings"] = [str(finding) for finding in findings]
    info["files"] = []
    Path(out).mkdir(parents=True, exist_ok=True)
    for name in method.produces:
        values = maps.artifacts.get(STAGES[stage].gives.get(name, name))
        if hasattr(values, "shape"):
            path = Path(out) / f"{name}.nii.gz"
            write_nifti(path, np.moveaxis(values, 0, -1) if values.ndim == 4 else values, affine)
            info["files"].append(str(path))
    return info


def _placed(values: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """The files under the names that they have at this place of the chain, without the stage's own products."""
    takes, own = STAGES[stage].takes, STAGES[stage].produces
    placed = {takes.get(name, name): value for name, value in values.items()}
    return {name: value for name, value in placed.items() if name not in own}


def _load(files: Mapping[str, Path], phase_scaling: str | None) -> tuple[dict[str, Any], np.ndarray, list[Any]]:
    """Arrays by artifact, echoes first; the affine that all files share; how the phase was read."""
    arrays, first, findings = {}, None, []
    for name, path in files.items():
        if name not in ARTIFACTS and name not in ("magnitude", "phase"):
            raise ParameterError(
                f"--in {name}=...: no such artifact; there are {', '.join(ARTIFACTS)}, magnitude, phase"
            )
        if name == "b0_dirs":
            arrays[name] = load_directions(path)
            continue
        if name == "phase":
            array, affine, findings = load_phase(path, phase_scaling)
        else:
            array, affine = load_volume(path)
        if first is None:
            first = affine, path, array.shape[:3]
        elif array.shape[:3] != first[2]:
            raise ShapeError(
                f"{path} has shape {array.shape[:3]}, {first[1]} has {first[2]}; all files must be on one grid"
            )
        array = np.moveaxis(array, -1, 0) if array.ndim == 4 else array
        arrays[name] = array.astype(ARTIFACTS[name].dtype if name in ARTIFACTS else np.float32, order="C")
    if "magnitude" in arrays and "phase" in arrays:
        magnitude, phase = arrays.pop("magnitude"), arrays.pop("phase")
        arrays["echoes"] = np.empty(magnitude.shape, np.complex64)
        for out, m, p in zip(arrays["echoes"], magnitude, phase):
            out.real, out.imag = m * np.cos(p), m * np.sin(p)
    elif "phase" in arrays:
        arrays["echoes"] = np.exp(1j * arrays.pop("phase")).astype(np.complex64)
    elif "magnitude" in arrays:
        arrays["echoes"] = arrays.pop("magnitude").astype(np.complex64)
    return arrays, first[0], findings
