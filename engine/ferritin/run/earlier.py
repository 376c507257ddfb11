"""What an earlier run has left in a folder, by stage and key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ferritin.errors import InputError
from ferritin.io.nifti import load_volume
from ferritin.run.info import StageInfo
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
            self.stages = {said["stage"]: StageInfo.earlier(said) for said in self.said["stages"]}
        except (OSError, ValueError, KeyError, TypeError):
            self.said, self.stages = {}, {}

    def info(self, stage: str, key: str) -> StageInfo | None:
        """What that run said of the stage, when its key is unchanged."""
        info = self.stages.get(stage)
        return info if info and info.key == key and (self.allowed is None or stage in self.allowed) else None

    def products(self, stage: str) -> Mapping[str, Any] | None:
        """The maps that the stage wrote; None unless all of them are there."""
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
    def names(self) -> Mapping[str, str]:
        """By artifact, the maps that the run wrote: paths in the subject's folder."""
        return self.said.get("files", {})

    @property
    def files(self) -> tuple[Path, ...]:
        """The maps that the run wrote."""
        return tuple(self.folder / name for name in self.names.values())

    def require_same_input(self, provenance: Mapping[str, Any]) -> None:
        """Raise InputError when the folder holds the maps of other data under this subject's name."""
        there = self.said.get("input", {})
        if "hash" in there and there["hash"] != provenance.get("hash"):
            raise InputError(
                f"{self.folder} holds the maps of other data ({there.get('file')}, {there['hash'][-8:]}; the input is "
                f"{provenance.get('file')}, {str(provenance.get('hash'))[-8:]}); give another --subject, or another "
                "folder with -o, or remove that one"
            )

    def complete(self) -> bool:
        """Whether everything that the run wrote still stands."""
        return bool(self.files) and self.report.exists() and all(path.exists() for path in self.files)

    def _path(self, artifact: str) -> Path | None:
        suffix = ARTIFACTS[artifact].file
        return suffix and self.folder / "anat" / f"sub-{self.subject}_{suffix}.nii.gz"
