"""What a result file says of where it was made: machine, commit, versions, date."""

from __future__ import annotations

import platform
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ferritin.backend import cpu_count

_PACKAGES = ("ferritin", "numpy", "scipy", "h5py", "nibabel", "cupy-cuda12x", "cupy-cuda13x", "numba", "scikit-image")


def describe() -> dict:
    """JSON-ready description of machine, commit and versions."""
    return {
        "date": date.today().isoformat(),
        "commit": _commit(),
        "processor": _processor(),
        "cores": cpu_count(),
        "python": platform.python_version(),
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
    }


def _commit() -> str:
    return _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "engine", "kernels") else "")


def _git(*words: str) -> str:
    root = Path(__file__).resolve().parents[1]
    try:
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True).stdout.strip()
    except OSError:  # no git here
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
