"""The BIDS derivatives folder: which file holds which map. Everything is staged, then renamed into place at the end."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ferritin.errors import InputError
from ferritin.io import sidecar
from ferritin.io.writing import plain, require_folder, write_json, write_nifti, write_text
from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS, STAGES

LONGEST_T2STAR_S = 10.0
"""T2* is written as at most this: echoes over some tens of ms cannot tell a slower decay from none."""

_README = """# Maps reconstructed by ferritin

`sub-*/anat/` holds the maps, each with a JSON file that says its unit, how it was made and from what;
`sub-*/sub-*_report.html` shows them with the quality checks; `sub-*/sub-*_recon.json` holds the run in full.
"""
_IGNORE = (
    # The run's record and report lie beside the maps; BIDS places neither.
    "sub-*/sub-*_report.html",
    "sub-*/sub-*_recon.json",
    # Field maps lie with the other maps; BIDS knows the suffix in fmap/ alone, as a means to undistort images.
    "sub-*/anat/*_fieldmap.nii.gz",
    "sub-*/anat/*_fieldmap.json",
    # The transmit field found beside R2, likewise.
    "sub-*/anat/*_TB1map.nii.gz",
    "sub-*/anat/*_TB1map.json",
    # BIDS has no suffix for R2' or iron.
    "sub-*/anat/*_R2primemap.nii.gz",
    "sub-*/anat/*_R2primemap.json",
    "sub-*/anat/*_Ironmap.nii.gz",
    "sub-*/anat/*_Ironmap.json",
)


class Derivatives:
    """A folder of BIDS derivatives, for one subject.

    Raises InputError when the folder belongs to something else or cannot be written to; makes nothing yet.
    """

    def __init__(self, out: str | Path, subject: str):
        self.out, self.subject = Path(out), subject
        for folder in (self.out, self.out / self.prefix, self.out / self.prefix / "anat"):
            require_folder(folder)
        self.description = self._description()

    @property
    def prefix(self) -> str:
        """First part of every file name."""
        return f"sub-{self.subject}"

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Stage files in a hidden folder inside; on success each is renamed into place, on an error nothing stays."""
        made = _make(self.out)
        stage = self.out / f".ferritin-{secrets.token_hex(4)}"
        try:
            stage.mkdir()
            writer = Writer(self, stage)
            yield writer
            writer._dataset_files()
            for name in writer.names:
                (self.out / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(stage / name, self.out / name)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            for folder in made:
                _remove_if_empty(folder)

    def _description(self) -> dict[str, Any]:
        """The dataset_description.json that is there, {} when there is none."""
        path = self.out / "dataset_description.json"
        try:
            said = json.loads(path.read_text()) if path.exists() else {}
            makers = [entry["Name"] for entry in said.get("GeneratedBy", [])]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{path} cannot be understood; mend or remove it, or give another folder with -o"
            ) from None
        if said and "ferritin" not in makers:
            raise InputError(
                f"{self.out} is another dataset ({said.get('Name', 'no name')!r}); give a folder of its own with -o, "
                "for example derivatives/ferritin inside it"
            )
        return said


class Writer:
    """Puts one subject's files into the staging folder. Paths that it returns are the final ones."""

    def __init__(self, tree: Derivatives, stage: Path):
        self.tree, self.stage = tree, stage
        self.names: list[str] = []
        self.files: dict[str, str] = {}
        self.inputs: list[str] = []

    def maps(self, maps: Any) -> tuple[Path, ...]:
        """Write every artifact that has a file in the map of stages, T2* beside R2*, T2 beside R2, and echoes.

        Parameters
        ----------
        maps : has scan, artifacts (name to host array) and stages (of StageInfo)

        Returns
        -------
        The paths of the images, each with a JSON file beside it.
        """
        scan, arrays = maps.scan, maps.artifacts
        self.inputs = [scan.provenance["file"]] if "file" in scan.provenance else []
        named = {n: ARTIFACTS[n].file for n, array in arrays.items() if ARTIFACTS[n].file and array is not None}
        self.files = {n: f"anat/{self.tree.prefix}_{file}.nii.gz" for n, file in named.items()}
        uris = {n: f"bids::{self.tree.prefix}/{path}" for n, path in self.files.items()}
        for name, file in named.items():
            self._image(file, arrays[name], scan, sidecar.of_map(name, scan, maps.stages, uris))
        for rate, name, words in (("r2star", "T2star", "Effective transverse relaxation time: 1/R2*"),
                                  ("r2", "T2", "Transverse relaxation time: 1/R2")):  # fmt: skip
            if rate in named:
                said = sidecar.of_map(rate, scan, maps.stages, uris)
                said |= {
                    "Description": f"{words}, at most {LONGEST_T2STAR_S:g} s; 0 where it was not fitted.",
                    "Units": "s",
                    "Sources": [uris[rate]],
                }
                self._image(f"{name}map", _time(arrays[rate], arrays.get(f"{rate}_se")), scan, said)
                self.files[name.lower()] = f"anat/{self.tree.prefix}_{name}map.nii.gz"
        if arrays.get("echoes") is not None:
            self._echoes(arrays["echoes"], scan, maps.stages)
        return tuple(self.tree.out / name for name in self.names if name.endswith(".nii.gz"))

    def report(self, write: Callable[[Path], Any]) -> Path:
        """Have `write(path)` make the report page."""
        return self._add(f"{self.tree.prefix}_report.html", write)

    def record(self, maps: Any, verdicts: Any, earlier: Any = None) -> Path:
        """Write the run's record: scan, stages with their cost, verdicts, findings, what could not be made, files.

        earlier : the record of the run before, by `files` (artifact to name) and `stages` (name to StageInfo). What
            still stands of it, and this run has not made anew, stays listed.
        """
        scan, stages = maps.scan, {info.stage: info for info in maps.stages}
        files = dict(self.files)
        if earlier is not None:
            stood = {n: f for n, f in earlier.names.items() if (self.tree.out / self.tree.prefix / f).exists()}
            files, stages = stood | files, {**earlier.stages, **stages}
        content = {
            "ferritin": sidecar.versions()["ferritin"],
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": sidecar.versions(),
            "input": dict(scan.provenance),
            "scan": _facts(scan),
            "stages": sorted(stages.values(), key=lambda info: list(STAGES).index(info.stage)),
            "verdicts": list(verdicts),
            "warnings": [str(finding) for finding in scan.findings if finding.level == "warning"],
            "findings": list(scan.findings),
            "missing": dict(maps.missing),
            "files": files,
        }
        return self._add(f"{self.tree.prefix}_recon.json", lambda path: write_json(path, content))

    def _echoes(self, echoes: np.ndarray, scan: Scan, stages: tuple[Any, ...]) -> None:
        """Magnitude and phase of every echo; BIDS wants MEGRE to have the echo in its name, and two echoes at least."""
        info = sidecar.maker("echoes", stages)
        common = {"SkullStripped": False} | (sidecar.made_by(info) if info else {}) | sidecar.acquisition(scan)
        common |= {"InputHash": sidecar.input_hash(scan), "Versions": sidecar.versions()}
        kinds = (("mag", np.abs, "Magnitude", "arbitrary"), ("phase", np.angle, "Phase", "rad"))
        kinds = kinds[:1] if scan.sequence == "spin echo" else kinds
        for i, (echo, te) in enumerate(zip(echoes, scan.te_s), start=1):
            for part, function, word, unit in kinds:
                name = f"echo-{i}_part-{part}_MEGRE" if len(echoes) > 1 else f"part-{part}_T2starw"
                name = f"echo-{i}_MESE" if scan.sequence == "spin echo" else name
                meaning = {"Description": f"{word} of the combined echo.", "Units": unit, "EchoTime": te}
                self._image(name, echo, scan, meaning | common, each=function)
                self.files[name] = f"anat/{self.tree.prefix}_{name}.nii.gz"

    def _image(self, name: str, array: np.ndarray, scan: Scan, said: dict[str, Any], each: Any = None) -> None:
        stem = f"anat/{self.tree.prefix}_{name}"
        description = f"ferritin {said['Versions']['ferritin']}"
        self._add(f"{stem}.nii.gz", lambda p: write_nifti(p, array, scan.affine, each=each, description=description))
        self._add(f"{stem}.json", lambda p: write_json(p, said))

    def _add(self, name: str, write: Callable[[Path], Any]) -> Path:
        """Stage a file of the subject's folder."""
        name = f"{self.tree.prefix}/{name}"
        (self.stage / name).parent.mkdir(parents=True, exist_ok=True)
        write(self.stage / name)
        self.names.append(name)
        return self.tree.out / name

    def _dataset_files(self) -> None:
        """Stage what the dataset as a whole needs; what stood in .bidsignore and among the sources stays."""
        said, out = self.tree.description, self.tree.out
        sources = {json.dumps(s): s for s in said.get("SourceDatasets", [])}
        sources |= {json.dumps(s): s for s in [{"URL": f"file:{quote(name)}"} for name in self.inputs]}
        said |= {
            "Name": said.get("Name", "Maps reconstructed by ferritin"),
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "ferritin", "Version": sidecar.versions()["ferritin"]}],
        }
        if sources:
            said["SourceDatasets"] = list(sources.values())
        write_json(self.stage / "dataset_description.json", said)
        there = (out / ".bidsignore").read_text().splitlines() if (out / ".bidsignore").exists() else []
        write_text(self.stage / ".bidsignore", "\n".join(dict.fromkeys((*there, *_IGNORE))) + "\n")
        dataset = ["dataset_description.json", ".bidsignore"]
        if not (out / "README.md").exists():
            write_text(self.stage / "README.md", _README)
            dataset.append("README.md")
        self.names[:0] = dataset


def _time(rate: np.ndarray, error: np.ndarray | None) -> np.ndarray:
    """T2 or T2* [s] of R2 or R2* [1/s]. 0 where it was not fitted: the standard error, too, is 0 there."""
    fitted = rate > 0 if error is None else (rate > 0) | (error != 0)
    out = np.where(fitted, np.float32(LONGEST_T2STAR_S), np.float32(0))
    np.divide(1, rate, out=out, where=rate > 1 / LONGEST_T2STAR_S)
    return out


def _facts(scan: Scan) -> dict[str, Any]:
    """The scan's geometry and timing."""
    names = ("te_s", "b0_t", "f0_hz", "shape", "voxel_mm", "affine", "b0_dir", "polarity")
    return {name: plain(getattr(scan, name)) for name in names}


def _make(folder: Path) -> list[Path]:
    """Make a folder and its parents; what was made, innermost first. Raises InputError."""
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise InputError(f"{folder} cannot be made ({why.strerror}); give another folder with -o") from why
    return made


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
