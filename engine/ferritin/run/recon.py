"""From an input on disk to a folder of derivatives: read, plan, reconstruct, judge, write, report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ferritin.errors import InputError, ParameterError
from ferritin.io import read
from ferritin.io.derivatives import Derivatives
from ferritin.io.volume import Grid, load_mask
from ferritin.report import judge, write_report
from ferritin.run.earlier import Earlier
from ferritin.run.memory import require
from ferritin.run.options import size_in_bytes
from ferritin.run.pipeline import Maps, reconstruct
from ferritin.run.plan import default_targets, maker, targets_until
from ferritin.run.progress import Progress
from ferritin.scan import Scan
from ferritin.stages import STAGES

_MASKS = ("mask", "field_mask", "local_mask")
"""Kept whatever is asked for: nothing can be judged or shown without knowing where it counts."""


@dataclass(frozen=True)
class Options:
    """What `ferritin recon` takes beside its input and output; see its --help."""

    subject: str | None = None
    mask: Path | None = None
    polarity: str | None = None
    phase_sign: str = "+"
    phase_scaling: str | None = None
    te_ms: tuple[float, ...] = ()
    b0: float | None = None
    device: str = "auto"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    start_from: str | None = None
    until: str | None = None
    separate: bool = False
    keep_echoes: bool = False
    memory: str | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run left behind: the maps, the files, the verdicts."""

    maps: Maps
    files: tuple[Path, ...]
    verdicts: tuple[Any, ...]
    report: Path
    reused_all: bool = False

    @property
    def passed(self) -> bool:
        """Whether no QC verdict failed."""
        return all(v.level != "fail" for v in self.verdicts)

    def summary(self) -> str:
        """A few lines for the terminal."""
        seconds = sum(info.seconds for info in self.maps.stages if not info.reused)
        lines = [f"{len(self.files)} maps in {seconds:.1f} s; report: {self.report}"]
        if self.reused_all:
            lines = [f"nothing to do, {len(self.files)} maps are up to date; report: {self.report}"]
        lines += [f"not made: {name} ({why})" for name, why in self.maps.missing.items()]
        lines += [f"warning: {found}" for found in self.maps.scan.findings if found.level == "warning"]
        lines += [f"{v.level}: {v.message}" for v in self.verdicts if v.level != "ok"]
        return "\n".join(lines)


def recon(path: str | Path, out: str | Path, options: Options, progress: Progress) -> Outcome:
    """Reconstruct `path` into the BIDS derivatives folder `out`.

    What an earlier run with the same input and options has left in `out` is reused, stage by stage. Nothing is
    written before everything is made, and every file comes to stand under its name at once.

    Raises
    ------
    FerritinError
        The input or the options are wrong; `out` is as it was.
    """
    path, out = Path(path), Path(out)
    scan = _read(path, options)
    subject = _label(options.subject or scan.provenance.get("subject") or "01")
    mask = options.mask and load_mask(options.mask, Grid(path, scan.shape, scan.affine))
    targets = targets_until(options.until) if options.until else default_targets(scan.sequence)
    if options.separate:
        targets = (*targets, *STAGES["sources"].produces)
    keep = (*_MASKS, *(("echoes",) if options.keep_echoes or scan.n_echoes == 1 else ()))
    files = Derivatives(out, subject)
    earlier = Earlier(out, subject, _before(options.start_from))
    earlier.require_same_input(scan.provenance)
    maps = reconstruct(
        scan, targets=targets, settings=options.settings, device=options.device, mask=mask, keep=keep,
        progress=progress, earlier=earlier,
    )  # fmt: skip
    _require_start(options.start_from, maps)
    _require_target(options.until, maps)
    verdicts = judge(maps)
    if maps.stages and all(info.reused for info in maps.stages) and earlier.complete():
        return Outcome(maps, earlier.files, verdicts, earlier.report, reused_all=True)
    with files.writing() as writer:
        written = writer.maps(maps)
        report = writer.report(lambda file: write_report(file, maps, verdicts))
        writer.record(maps, verdicts, earlier)
    return Outcome(maps, written, verdicts, report)


def _read(path: Path, options: Options) -> Scan:
    limit = size_in_bytes(options.memory)
    return read(
        path,
        te_ms=options.te_ms or None,
        b0=options.b0,
        polarity=options.polarity,
        phase_scaling=options.phase_scaling,
        phase_sign=options.phase_sign,
        sequence=STAGES[maker(targets_until(options.until)[0])].sequence if options.until else None,
        before_voxels=lambda scan: require(scan, limit),
    )


def _label(subject: str) -> str:
    """A BIDS label: letters and digits. Raises ParameterError."""
    label = subject.removeprefix("sub-")
    if not label.isalnum():
        raise ParameterError(f"subject '{subject}' is not letters and digits, as BIDS wants; give --subject 01, say")
    return label


def _before(start: str | None) -> frozenset[str] | None:
    """The stages whose earlier results may be reused: all, or those that precede `--start-from`."""
    if start is None:
        return None
    targets_until(start)
    names = list(STAGES)
    return frozenset(names[: names.index(start if start in STAGES else maker(start))])


def _require_target(until: str | None, maps: Maps) -> None:
    """`--until` asks for one thing; a run that cannot make it is an error."""
    if until is None or (name := targets_until(until)[0]) in maps.artifacts:
        return
    why = maps.missing.get(name, f"{maker(name)} does not make it with these options; see `ferritin methods`")
    raise InputError(f"--until {until}: no {name}: {why}")


def _require_start(start: str | None, maps: Maps) -> None:
    """`--start-from` promises that what precedes is there; say so when it was not."""
    before = _before(start)
    if before and not any(info.reused for info in maps.stages if info.stage in before):
        raise InputError(
            f"--start-from {start}: no earlier result with this input and these options is there to start from; "
            "run once without it"
        )
