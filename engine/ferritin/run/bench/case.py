"""One run of the benchmark: methods with parameters on a dataset and a device; what it starts from and makes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ferritin.errors import ParameterError
from ferritin.registry import find
from ferritin.stages import STAGES

TASKS: Mapping[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "field": (("unwrap", "field"), "total_field", ("echoes", "noise_sd", "mask")),
    "background": (("background",), "local_field", ("total_field", "field_noise", "mask", "echoes")),
    "dipole": (("dipole",), "chi", ("local_field", "field_noise", "mask", "s0", "r2star")),
    "background+dipole": (("background", "dipole"), "chi",
                          ("total_field", "field_noise", "mask", "echoes", "s0", "r2star")),
    "chain": (
        ("unwrap", "field", "refine", "background", "dipole"), "chi", ("echoes", "noise_sd", "mask", "s0", "r2star"),
    ),
    "r2star": (("r2star",), "r2star", ("echoes", "noise_sd", "mask")),
}  # fmt: skip
"""Task to the stages that it runs, the artifact that is scored, and what it is given."""

CONTRACT = {"field": "field-mapping", "background": "bfr", "dipole": "dipole", "background+dipole": "bfr+dipole",
            "chain": "end-to-end"}  # fmt: skip
"""Names of the tasks in QSM-CI's stages.yml."""


@dataclass(frozen=True)
class Case:
    """A run.

    Attributes
    ----------
    task : a key of TASKS
    settings : {stage: {"method": name, parameter: value}}
    data : folder of the dataset
    device : "cpu" or "cuda:n"
    external : a command that does the task in place of the engine's methods, "" for none
    name : of the external program
    """

    task: str
    settings: Mapping[str, Mapping[str, Any]]
    data: str
    device: str = "cpu"
    external: str = ""
    name: str = ""
    repeats: int = 1
    imports: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ParameterError(f"task '{self.task}' is not known; there are {', '.join(TASKS)}")

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages that the task runs, in order."""
        return TASKS[self.task][0]

    @property
    def target(self) -> str:
        """The artifact that is scored."""
        return TASKS[self.task][1]

    @property
    def method(self) -> str:
        """Names of the methods, joined with +."""
        if self.external:
            return self.name
        return "+".join(m.name for m in self._methods())

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters that were set, by name; stage.name when several stages run."""
        out = {}
        for stage in self.stages:
            for name, value in self.settings.get(stage, {}).items():
                if name != "method":
                    out[name if len(self.stages) == 1 else f"{stage}.{name}"] = value
        return out

    def key(self) -> str:
        """Names the result: the same for the same run of the same code, so that what is done is not done again.

        The sources of the methods' modules count, not the whole engine's: a change elsewhere keeps the result.
        """
        said = asdict(self) | {"imports": ()}
        said["sources"] = [_source(m.function.__module__) for m in ([] if self.external else self._methods())]
        text = json.dumps(said, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _methods(self):
        return [find(stage, self.settings.get(stage, {}).get("method")) for stage in self._used()]

    def _used(self) -> list[str]:
        """Stages that really run: none whose product the later ones do not read."""
        used: list[str] = []
        reads = {self.target}
        for stage in reversed(self.stages):
            if not reads & {*STAGES[stage].produces}:
                continue
            used.append(stage)
            method, takes = find(stage, self.settings.get(stage, {}).get("method")), STAGES[stage].takes
            reads |= {takes.get(name, name) for name in (*method.consumes, *method.optional)}
        return used[::-1]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Case:
        """The inverse of as_dict."""
        return cls(**(dict(said) | {"imports": tuple(said.get("imports", ()))}))


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest() if spec and spec.origin else module
