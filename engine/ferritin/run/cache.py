"""Keys that say when a stage's result may be taken from an earlier run, and the results that stand in a folder.

A stage's key is a hash over the input's hash, the method, its parameters (the content of a file, which is annotated
"file"), the program's version and the keys of the stages that it reads from. Results are read back from the written
maps, which hold them exactly (float32).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferritin.io.checks import content_hash
from ferritin.run.plan import Step


def stage_key(step: Step, inputs: Mapping[str, str], version: str) -> str:
    """Key of a step from the keys of the artifacts that it consumes."""
    used = {name: inputs[name] for name in step.reads if name in inputs}
    files = {p.keyword for p in step.method.parameters if p.unit == "file"}
    parameters = {
        name: _content(value) if name in files else repr(value)
        for name, value in step.keywords.items()
        if name != "scratch"
    }
    text = json.dumps([step.stage, step.method.name, parameters, used, version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _content(path: str | None) -> str:
    """What a parameter that names a file stands for: the file's content, not its name."""
    return content_hash(Path(path)) if path and os.path.isfile(path) else repr(path)


def data_key(name: str, value: Any, scan: Any) -> str:
    """Key of an artifact that the input supplies.

    Raw data and echoes: the file's content hash and the choices made while reading. Anything else: its own bytes.
    """
    said = [name, scan.te_s, scan.b0_t, scan.f0_hz, scan.affine.tolist(), scan.polarity]
    if name in ("raw", "echoes") and "hash" in scan.provenance:
        said += [scan.provenance["hash"], scan.provenance.get("reading")]
    elif hasattr(value, "tobytes"):
        said.append(hashlib.sha256(value.tobytes()).hexdigest())
    else:
        said.append(repr(value))
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()[:24]
