"""Programs of others in the benchmark: a command line that reads and writes NIfTI in the units of QSM-CI's contract."""

from __future__ import annotations

import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ferritin.errors import InputError, ParameterError
from ferritin.io.nifti import load_volume
from ferritin.io.writing import write_json, write_nifti
from ferritin.run.bench.case import CONTRACT, TASKS, Case
from ferritin.run.bench.dataset import FIELDS, FILES, Dataset


def parse_external(text: str) -> tuple[str, str, str]:
    """`NAME:TASK:COMMAND` as its parts. Raises ParameterError."""
    name, _, rest = text.partition(":")
    task, _, command = rest.partition(":")
    if not (name and command) or task not in CONTRACT:
        raise ParameterError(
            f"--external {text!r} is not NAME:TASK:COMMAND with a task of {', '.join(CONTRACT)}; "
            "for example mine:dipole:mytool {localfield} {mask} {chimap}"
        )
    return name, task, command


def run_external(case: Case, data: Dataset) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Run a command on a dataset: cost, the map in the engine's unit, and where it is not 0.

    In the command {input} and {output} stand for folders as QSM-CI mounts them; {phase} {magnitude} {totalfield}
    {localfield} {mask} {params} for the files in the first; {totalfield_out} {localfield_out} {chimap} for the result;
    {bx} {by} {bz} for the direction of B0. A published submission: qsm-ci run NAME --localfield {localfield} ...
    """
    produced = FILES[case.target]
    with tempfile.TemporaryDirectory(prefix="ferritin-bench-") as place:
        folder = Path(place)
        names = _write_input(folder / "input", case, data)
        (folder / "output").mkdir()
        result = folder / "output" / f"{produced}.nii.gz"
        names |= dict(zip(("bx", "by", "bz"), data.scan().b0_dir))
        names |= {"input": folder / "input", "output": folder / "output", produced + "_out": result}
        names.setdefault(produced, result)
        words = _filled(case.external, names)
        if shutil.which(words[0]) is None:
            raise InputError(f"{case.name}: the program {words[0]} is not there; install it or leave it out")
        seconds, cpu = [], _cpu_of_children()
        for _ in range(case.repeats):
            start = time.perf_counter()
            done = subprocess.run(words, capture_output=True, text=True, cwd=folder)
            seconds.append(time.perf_counter() - start)
            if done.returncode:
                raise InputError(f"{case.name}: exit status {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
        cpu = (_cpu_of_children() - cpu) / case.repeats
        if not result.exists():
            raise InputError(f"{case.name}: wrote no {result.name} into its output folder")
        values = load_volume(result)[0].astype(np.float32)
    if values.shape != data.mask.shape:
        raise InputError(f"{case.name}: {result.name} has shape {values.shape}, expected {data.mask.shape}")
    if case.target in FIELDS:
        values *= np.float32(data.hz_per_ppm)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cost = {
        "seconds": float(np.median(seconds)), "seconds_first": seconds[0], "cpu_seconds": cpu,
        "repeats": case.repeats, "peak_bytes": peak, "source": f"external program: {case.external}", "stopped_by": "",
        "used": {},
    }  # fmt: skip
    return cost, values, (values != 0) & data.mask


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _filled(command: str, names: dict[str, Any]) -> list[str]:
    try:
        return [word.format(**names) for word in shlex.split(command)]
    except (KeyError, IndexError, ValueError) as why:
        raise ParameterError(f"command {command!r}: {why} is no name of a file; there are {', '.join(names)}") from None


def _write_input(folder: Path, case: Case, data: Dataset) -> dict[str, Path]:
    """The contract's files of a task, fields in ppm; names to paths."""
    folder.mkdir()
    names = {}

    def write(name: str, values: np.ndarray) -> None:
        names[name] = folder / f"{name}.nii.gz"
        write_nifti(names[name], values, data.affine)

    for artifact in TASKS[case.task][2]:
        values = data.given(artifact)
        if artifact == "echoes":
            echoes = np.moveaxis(values, 0, -1)
            write("phase", np.angle(echoes))
            write("magnitude", np.abs(echoes))
        elif artifact in FIELDS and values is not None:
            write(FILES[artifact], values / np.float32(data.hz_per_ppm))
        elif artifact != "noise_sd" and values is not None:
            write(FILES[artifact], values)
    if "magnitude" not in names:
        write("magnitude", np.abs(np.moveaxis(data.given("echoes"), 0, -1)))
    names["params"] = folder / "params.json"
    write_json(names["params"], {k: data.params[k] for k in ("TE", "B0", "B0_dir", "voxel_size")})
    return names
