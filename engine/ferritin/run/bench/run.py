"""Run the cases that are not done yet, each in a fresh process, and gather all rows into one table."""

from __future__ import annotations

import csv
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

from ferritin import __version__
from ferritin.backend import cpu_count
from ferritin.errors import UnknownMethodError
from ferritin.io.writing import write_json, write_text
from ferritin.run.bench.case import Case
from ferritin.run.bench.dataset import Dataset

COLUMNS = (
    "task", "method", "parameters", "dataset", "device", "status", "seconds", "seconds_first", "cpu_seconds", "repeats",
    "peak_bytes", "bytes_before", "fft_count", "iterations", "residual", "stopped_by", "voxels", "coverage", "nrmse",
    "nrmse_detrended", "nrmse_tissue", "nrmse_blood", "nrmse_dgm", "slope_deviation", "dgm_slope",
    "calcification_moment_deviation", "calcification_streak", "xsim_uniform5", "xsim_gauss7", "hfen", "correlation",
    "rmse", "mean_absolute_error", "median_error", "nrmse_valid", "nrmse_detrended_valid", "valid_share", "source",
    "key", "version", "commit", "processor", "cores", "date",
)  # fmt: skip


def run_cases(
    cases: Iterable[Case], out: Path, timeout_s: float, say: Callable[[str], None] = lambda line: None
) -> list[dict[str, Any]]:
    """Run the cases; a row per case is left in out/rows, and one that is there is read, not run again."""
    (out / "rows").mkdir(parents=True, exist_ok=True)
    cases, rows = list(cases), []
    where = machine()
    for i, case in enumerate(cases, 1):
        key = case.key()
        path = out / "rows" / f"{key}.json"
        if path.exists():
            rows.append(json.loads(path.read_text()))
            continue
        row = _in_a_process(case, path.with_suffix(".part.json"), timeout_s)
        row = _named(case, key) | where | row
        if (part := path.with_suffix(".part.npy")).exists():
            part.replace(path.with_suffix(".npy"))
        write_json(path, row)
        rows.append(json.loads(path.read_text()))
        say(f"[{i}/{len(cases)}] {_line(row)}")
    return rows


def kept_rows(cases: Iterable[Case], out: Path) -> list[dict[str, Any]]:
    """Rows of other cases that were run before in the same folder with the methods as they are now.

    Of rows that differ in nothing but how often a case was repeated the newest is taken, and none of `cases`.
    """
    taken, kept = {_same(case) for case in cases}, []
    files = [path for path in (out / "rows").glob("*.json") if "." not in path.stem]  # KEY.part.json is not done
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        row = json.loads(path.read_text())
        if "case" not in row:  # of an older version: what was run is not known well enough to compare
            continue
        case = Case.from_dict(row["case"])
        if _same(case) not in taken and _stands(case, row["key"]):
            taken.add(_same(case))
            kept.append(row)
    return kept


def _same(case: Case) -> str:
    return json.dumps(case.as_dict() | {"repeats": 0, "imports": ()}, sort_keys=True, default=str)


def _stands(case: Case, key: str) -> bool:
    """Whether the methods are as they were; those of a user's module that is not imported now are taken to be."""
    try:
        return case.key() == key
    except UnknownMethodError:
        return bool(case.imports)


def write_table(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """One row per case as CSV, values in full."""
    lines = []

    class _Lines:
        write = staticmethod(lines.append)

    table = csv.DictWriter(_Lines, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()})
    write_text(path, "".join(lines))


def machine() -> dict[str, Any]:
    """Where a row was measured."""
    return {
        "version": __version__, "commit": _commit(), "processor": _processor(), "cores": cpu_count(),
        "python": platform.python_version(), "date": date.today().isoformat(),
    }  # fmt: skip


def _named(case: Case, key: str) -> dict[str, Any]:
    data = Dataset(case.data)
    return {
        "task": case.task, "method": case.method, "parameters": case.parameters, "dataset": data.name,
        "data_folder": case.data, "target": case.target, "device": case.device, "key": key,
        "voxels": int(data.mask.size), "settings": dict(case.settings), "external": case.external,
        "case": case.as_dict(),
    }  # fmt: skip


def _in_a_process(case: Case, result: Path, timeout_s: float) -> dict[str, Any]:
    """A fresh interpreter: no warm caches, memory counted from nothing, and a crash stays a row."""
    asked = result.with_suffix(".case.json")
    write_json(asked, case.as_dict())
    command = [sys.executable, "-m", "ferritin.run.bench.worker", str(asked), str(result)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=os.environ)
    except subprocess.TimeoutExpired:
        return {"status": f"stopped after {timeout_s:g} s"}
    finally:
        asked.unlink(missing_ok=True)
    if done.returncode or not result.exists():
        tail = " ".join((done.stderr or done.stdout).strip().splitlines()[-1:])
        return {"status": f"crashed with exit status {done.returncode}: {tail[-300:]}"}
    row = json.loads(result.read_text())
    result.unlink()
    return row


def _line(row: dict[str, Any]) -> str:
    name = f"{row['task']:10} {row['method']:24} {row['dataset']}"
    if row["parameters"]:
        name += " " + " ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row["parameters"].items()
        )
    if row["status"] != "ok":
        return f"{name}: {row['status']}"
    return f"{name}: {row['seconds']:.2f} s, NRMSE {row['nrmse']:.1f} %"


def _commit() -> str:
    """The commit of a checkout that this file is in, "" elsewhere."""
    root = Path(__file__).parents[4]
    if not (root / ".git").exists():
        return ""
    git = lambda *words: subprocess.run(["git", "-C", root, *words], capture_output=True, text=True).stdout.strip()  # noqa: E731
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "engine", "kernels") else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
