"""What one stage did: method, parameters, cost, outcome. The report, recon.json and the benchmark all read this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ferritin.stages import Record


@dataclass(frozen=True)
class StageInfo:
    """One finished stage.

    seconds, cpu_seconds (of all its threads) and fft_count are of the method alone, files excluded; peak_bytes is the
    process's peak resident memory while it ran; reused is True when the result came from an earlier run in the folder;
    inputs are the artifacts that it was given.
    """

    stage: str
    method: str
    source: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_bytes: int = 0
    fft_count: float = 0.0
    record: Record = field(default_factory=Record)
    reused: bool = False
    key: str = ""
    cpu_seconds: float = 0.0
    inputs: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, the record's fields beside the others."""
        out = asdict(self)
        record = out.pop("record")
        return out | record

    @classmethod
    def earlier(cls, said: Mapping[str, Any]) -> StageInfo:
        """What an earlier run said of a stage by `as_dict`, as reused. Raises TypeError when it is something else."""
        names = {f.name for f in fields(Record)}
        record = {name: value for name, value in said.items() if name in names}
        record["notes"] = tuple(record.get("notes", ()))
        others = {name: value for name, value in said.items() if name not in names}
        others["inputs"] = tuple(others.get("inputs", ()))
        return cls(**others | {"record": Record(**record), "reused": True})
