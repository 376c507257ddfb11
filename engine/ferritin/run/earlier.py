"""What an earlier run has left in a folder, by stage and key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ferritin.io.nifti import load_volume
from ferritin.stages import ARTIFACTS, STAGES


class Earlier:
    """Reads OUT/sub-XX/sub-XX_recon.json; a missing or damaged one is the same as no earlier run.

    allowed: the stages whose results may be reused, None for all.
    """

    def __init__(self, out: Path, subject: str, allowed: frozenset[str] | None = None):
        self.folder = out / f"sub-{subject}"
        self.subject = subject
        self.allowed = allowed
        try:
            self.said = json.loads((self.folder / f"sub-{subject}_recon.json").read_text())
            self.keys = {info["stage"]: info["key"] for info in self.said["stages"]}
        except (OSError, ValueError, KeyError, TypeError):
            self.said, self.keys = {}, {}

    def reuse(self, stage: str, key: str) -> Mapping[str, Any] | None:
        """The stage's products when its key is unchanged and all its maps are there."""
        if self.keys.get(stage) != key or (self.allowed is not None and stage not in self.allowed):
            return None
        products = {}
        for name in STAGES[stage].produces:
            path = self._path(name)
            if products and name not in self.said["files"]:
                continue  # a product beside the first that was not asked for
            if path is None or not path.exists():
                return None
            products[name] = np.ascontiguousarray(load_volume(path)[0]).astype(ARTIFACTS[name].dtype, copy=False)
        return products

    @property
    def report(self) -> Path:
        """Where the report of that run is."""
        return self.folder / f"sub-{self.subject}_report.html"

    @property
    def files(self) -> tuple[Path, ...]:
        """The maps that the run wrote."""
        return tuple(self.folder / name for name in self.said.get("files", {}).values())

    def complete(self) -> bool:
        """Whether everything that the run wrote still stands."""
        return bool(self.files) and self.report.exists() and all(path.exists() for path in self.files)

    def _path(self, artifact: str) -> Path | None:
        suffix = ARTIFACTS[artifact].file
        return suffix and self.folder / "anat" / f"sub-{self.subject}_{suffix}.nii.gz"
