"""A list of programs that do the same task: name, what each needs, and a function from the scene to the result.

A function returns a callable without arguments: what it does before is preparation, and only the call is timed.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from scene import Scene

Prepare = Callable[[Scene], Callable[[], Any]]


@dataclass(frozen=True)
class Entry:
    """One way to do a task. needs: modules or programs; about: what is compared, in a few words."""

    task: str
    name: str
    prepare: Prepare
    needs: tuple[str, ...] = ()
    about: str = ""
    ours: bool = False
    share: float = 1.0  # of the voxels that it is given; its time is scaled up

    def missing(self) -> str:
        """The first thing that is not there, "" when all is."""
        for need in self.needs:
            if importlib.util.find_spec(need) is None and shutil.which(need) is None:
                return need
        return ""

    def version(self) -> str:
        """Of the first package that it needs."""
        for need in self.needs or ("ferritin",):
            try:
                return f"{_PACKAGE.get(need, need)} {version(_PACKAGE.get(need, need))}"
            except PackageNotFoundError:
                if need in _SAYS and shutil.which(need):
                    done = subprocess.run([need, _SAYS[need]], capture_output=True, text=True)
                    return f"{need} {(done.stdout or done.stderr).strip().splitlines()[0]}"
        return self.needs[0] if self.needs else ""


_SAYS = {"bart": "version", "romeo": "--version", "qsmxt": "--version", "octave": "--version"}
_PACKAGE = {"skimage": "scikit-image", "phase_unwrap": "phase_unwrap"}
ENTRIES: list[Entry] = []


def entry(task: str, name: str, *needs: str, about: str = "", ours: bool = False, share: float = 1.0):
    """Register a function of the scene."""

    def register(prepare: Prepare) -> Prepare:
        ENTRIES.append(Entry(task, name, prepare, needs, about, ours, share))
        return prepare

    return register


def our_methods(stage: str, given: tuple[str, ...]) -> None:
    """Register every method of a stage, on what the scene's dataset gives."""
    from ferritin.registry import methods

    for method in methods(stage):
        if not {*method.consumes} <= {*given, "field_mask", "local_mask"}:
            continue

        def prepare(scene: Scene, method=method):
            values = {name: scene.data.given(name) for name in given}
            values |= dict.fromkeys(("field_mask", "local_mask"), scene.mask)
            there = {name: values[name] for name in (*method.consumes, *method.optional) if name in values}
            scan = scene.data.scan()
            keywords = {p.keyword: p.default for p in method.parameters}
            return lambda: getattr(method(**there, scan=scan, **keywords), method.produces[0])

        ENTRIES.append(Entry(stage, f"ferritin {method.name}", prepare, (), method.source, ours=True))
