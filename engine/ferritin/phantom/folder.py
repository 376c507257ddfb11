"""The folder of a simulation: refused when it holds anything else, staged, and in place only when it is whole."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ferritin.errors import InputError

MARK = "truth/scan.json"
"""Where this file stands, the simulation is whole: it is removed first and comes last."""

_NAMES = ("raw.h5", "dataset_description.json", ".bidsignore", "README", "truth/[!.]*", "sub-01/anat/[!.]*")
_STAGE = ".simulating-"


def earlier(out: Path) -> dict[str, Any]:
    """What the whole simulation in a folder says of itself; {} when there is none."""
    try:
        said = json.loads((out / MARK).read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) and str(said.get("made_by")).startswith("ferritin ") else {}


def sizes(folder: Path) -> dict[str, int]:
    """Files below a folder, by their path in it, and their bytes: how what a simulation wrote is known again."""
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """Yield an empty folder inside `out` whose files take the place of an earlier simulation's when the block ends.

    On an error `out` stays as it was.

    Raises
    ------
    InputError
        The folder holds anything that no simulation left there, or cannot be written to.
    """
    try:
        old = _files_of_the_earlier(out)
        with _stage(out) as stage:
            yield stage
            new = sorted(sizes(stage), key=lambda name: name == MARK)
            (out / MARK).unlink(missing_ok=True)
            for path in old:
                path.unlink()
            for name in new:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(stage / name, out / name)
            _remove_if_empty(out / "sub-01/anat", out / "sub-01")
    except OSError as why:
        raise InputError(f"{out} cannot be written ({why}); give another folder, or make room") from why


@contextmanager
def _stage(out: Path) -> Iterator[Path]:
    made = [p for p in (out, *out.parents) if not p.exists()]
    stage = out / f"{_STAGE}{secrets.token_hex(4)}"
    try:
        stage.mkdir(parents=True)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        _remove_if_empty(*made)


def _files_of_the_earlier(out: Path) -> list[Path]:
    if not out.exists():
        return []
    if any(not p.name.startswith(_STAGE) for p in out.iterdir()) and not earlier(out):
        raise InputError(
            f"{out} is not empty and holds no whole simulation of ferritin's (no {MARK} of its own); "
            "give a new or an empty folder"
        )
    left = earlier(out).get("files") or {}
    found = [p for pattern in _NAMES for p in sorted(out.glob(pattern)) if p.is_file() and p != out / MARK]
    for path in found:
        name = path.relative_to(out).as_posix()
        if left.get(name) != path.stat().st_size:
            raise InputError(f"{out} holds {name}, which is not as a simulation left it; give a new or an empty folder")
    return found


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):  # it is not empty, or not there
            folder.rmdir()
