"""One case in a process of its own: `python -m ferritin.run.bench.worker CASE.json RESULT.json`.

Time and transforms are of the methods alone, files excluded; the median of the repeats is told. The map is left beside
the result as .npy, so that the pictures need no second run.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ferritin import backend
from ferritin.errors import FerritinError
from ferritin.io.writing import write_json
from ferritin.metrics import evaluate, nrmse, nrmse_detrended
from ferritin.run.bench.case import TASKS, Case
from ferritin.run.bench.dataset import FIELDS, Dataset
from ferritin.run.bench.external import run_external
from ferritin.run.info import StageInfo
from ferritin.run.pipeline import reconstruct

_WARM_S = 10.0  # a run this long hides the cost of the first call; shorter ones get one that does not count
_NOT_FOR_RATES = ("xsim_uniform5", "xsim_gauss7")  # their constants are in ppm


def run_case(case: Case, map_file: Path) -> dict[str, Any]:
    """Run, time and score a case; the map goes to `map_file`."""
    for module in case.imports:
        importlib.import_module(module)
    data = Dataset(case.data)
    if case.external:
        cost, values, valid = run_external(case, data)
    else:
        cost, values, valid = _run_methods(case, data)
    if case.target in FIELDS:
        values = values / np.float32(data.hz_per_ppm)
    np.save(map_file, values.astype(np.float32))
    return {"status": "ok"} | cost | _scores(case, data, values, valid)


def _run_methods(case: Case, data: Dataset) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    given = {name: data.given(name) for name in TASKS[case.task][2]}
    given = {name: value for name, value in given.items() if value is not None}
    if "refine" not in case.stages:
        given["field_mask"] = given["mask"]  # the field is given, and good where the mask is
    scan = data.scan(**given)
    backend.reset_peak_memory()
    before = backend.peak_memory()
    infos = []
    for _ in range(1 + case.repeats):
        maps = reconstruct(scan, targets=(case.target,), settings=case.settings, device=case.device)
        infos.append([stage for stage in maps.stages if stage.stage in case.stages])
        if len(infos) >= case.repeats and _seconds(infos[0]) > _WARM_S:
            break
    last = infos[-1][-1]
    counted = infos[len(infos) > case.repeats :]
    cost = {
        "seconds": median(map(_seconds, counted)),
        "seconds_first": _seconds(infos[0]),
        "cpu_seconds": median(sum(stage.cpu_seconds for stage in stages) for stages in counted),
        "repeats": len(counted),
        "peak_bytes": _device_peak(case.device) or max(stage.peak_bytes for stage in infos[-1]),
        "bytes_before": before,
        "fft_count": sum(stage.fft_count for stage in infos[-1]),
        "iterations": last.record.iterations,
        "residual": last.record.residual,
        "stopped_by": last.record.stopped_by,
        "source": last.source,
        "used": {stage.stage: stage.parameters for stage in infos[-1]},
    }
    return cost, maps.artifacts[case.target], maps.artifacts.get("local_mask", data.mask)


def _seconds(stages: Sequence[StageInfo]) -> float:
    return sum(stage.seconds for stage in stages)


def _scores(case: Case, data: Dataset, values: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """Over the whole mask, what is missing counted as 0; and the error alone where the method says that it is valid."""
    truth, mask = data.truth(case.target), data.mask
    labels = data.labels if case.target == "chi" else None
    out = evaluate(values, truth, mask, labels, data.scan().voxel_mm)
    if case.target == "r2star":
        out = {name: value for name, value in out.items() if name not in _NOT_FOR_RATES}
    inside = mask & (valid > 0) & np.isfinite(values)
    out["nrmse_valid"] = nrmse(values, truth, inside)
    out["nrmse_detrended_valid"] = nrmse_detrended(values, truth, inside)
    out["valid_share"] = float(inside.sum() / mask.sum())
    return out


def _device_peak(device: str) -> int:
    """Bytes that the device's memory pool has taken; 0 on the host."""
    if device == "cpu":
        return 0
    import cupy

    return int(cupy.get_default_memory_pool().total_bytes())


def main() -> None:
    """Run the case of the first file and write the second; an error of ours becomes a row, not a trace."""
    case_file, result_file = map(Path, sys.argv[1:3])
    case = Case.from_dict(json.loads(case_file.read_text()))
    try:
        row = run_case(case, result_file.with_suffix(".npy"))
    except FerritinError as why:
        row = {"status": f"failed: {' '.join(str(why).split())}"}
    write_json(result_file, row)


if __name__ == "__main__":
    main()
