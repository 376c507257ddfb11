"""Which stages a set of wanted artifacts needs, given what there is. Nothing is computed that nothing asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ferritin.errors import UnknownMethodError
from ferritin.registry import Method
from ferritin.run.config import choose
from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS, STAGES

DEFAULT_TARGETS = ("mask", "r2star", "total_field", "field_mask", "local_field", "chi")
_SPIN_ECHO_TARGETS = ("mask", "r2")


def default_targets(sequence: str) -> tuple[str, ...]:
    """What is made of a scan when nothing is asked for."""
    return _SPIN_ECHO_TARGETS if sequence == "spin echo" else DEFAULT_TARGETS


@dataclass(frozen=True)
class Step:
    """One stage of a plan: its method and complete keyword arguments."""

    stage: str
    method: Method
    keywords: Mapping[str, Any]

    def source(self, name: str) -> str:
        """The artifact that the method's argument `name` takes at this place in the chain."""
        return STAGES[self.stage].takes.get(name, name)

    def product(self, name: str) -> str:
        """The artifact that the method's result `name` is at this place in the chain."""
        return STAGES[self.stage].gives.get(name, name)

    @property
    def needs(self) -> tuple[str, ...]:
        """Artifacts without which the step cannot be done, by its method and by its options."""
        chosen = (name for name, by in self.method.needs.items() if self.keywords.get(by, "none") != "none")
        return tuple(map(self.source, (*self.method.consumes, *chosen)))

    @property
    def reads(self) -> tuple[str, ...]:
        """Artifacts that the step takes, the optional ones too."""
        return tuple(map(self.source, (*self.method.consumes, *self.method.optional)))


@dataclass(frozen=True)
class Plan:
    """Steps in order, and for every wanted artifact that cannot be had, the reason."""

    steps: tuple[Step, ...]
    missing: Mapping[str, str]


def maker(artifact: str) -> str | None:
    """The first stage that produces an artifact; None for what only a file can supply."""
    return next((s.name for s in STAGES.values() if artifact in s.produces), None)


def targets_until(name: str) -> tuple[str, ...]:
    """What `--until NAME` asks for: a stage's main product, or an artifact."""
    if name in STAGES:
        return STAGES[name].produces[:1]
    if name in ARTIFACTS and maker(name):
        return (name,)
    raise UnknownMethodError(
        f"'{name}' is neither a stage ({', '.join(STAGES)}) nor an artifact ({', '.join(ARTIFACTS)})"
    )


def make_plan(
    targets: Collection[str], available: Collection[str], scan: Scan, settings: Mapping[str, Mapping[str, Any]]
) -> Plan:
    """Walk the map backwards from the targets to what is available.

    A stage is taken when its main product is needed and not available; its method then needs what it consumes.
    """
    n_echoes = scan.n_echoes
    steps = {s: Step(s, *choose(settings, s, n_echoes)) for s in STAGES if STAGES[s].produces[0] not in available}
    steps = _in_order(steps)
    reasons = _impossible(steps, available, scan)
    missing = {t: reasons[maker(t)] for t in targets if maker(t) in reasons and t not in available}
    needed = {_main(t) for t in targets if t not in missing}
    taken: list[Step] = []
    for step in reversed(steps.values()):
        main = STAGES[step.stage].produces[0]
        if main in needed and step.stage not in reasons:
            taken.append(step)
            needed |= {_main(read) for read in step.needs if read not in available}
    return Plan(tuple(reversed(taken)), missing)


def _in_order(steps: Mapping[str, Step]) -> dict[str, Step]:
    """The map's order, but a stage comes after those that make what it needs: R2* from complex echoes needs the
    unwrapped phase, R2* from magnitudes does not."""
    out: dict[str, Step] = {}

    def place(name: str | None, above: tuple[str, ...] = ()) -> None:
        if name not in steps or name in out or name in above:
            return
        for read in steps[name].needs:
            place(maker(read), (*above, name))
        out[name] = steps[name]

    for name in steps:
        place(name)
    return out


def _main(artifact: str) -> str:
    """The main product of the stage that makes an artifact."""
    stage = maker(artifact)
    return STAGES[stage].produces[0] if stage else artifact


def _impossible(steps: Mapping[str, Step], available: Collection[str], scan: Scan) -> dict[str, str]:
    """Stages that so few echoes or slices cannot feed, with the reason, through to what follows from them."""
    out: dict[str, str] = {}
    n_echoes, thickness = scan.n_echoes, min(scan.shape)
    for name, step in steps.items():
        least = STAGES[name].min_echoes
        causes = [maker(read) for read in step.needs if read not in available]
        if n_echoes < least:
            out[name] = (
                f"needs at least {least} echoes, the scan has {n_echoes}: one echo cannot tell what changes over the "
                "echo time from the value at TE = 0"
            )
        elif thickness < STAGES[name].min_slices:
            out[name] = (
                f"needs at least {STAGES[name].min_slices} voxels along each axis, the scan has {thickness}: most "
                "sources of the field lie outside of so thin a slab"
            )
        elif any(cause in out for cause in causes):
            out[name] = next(out[cause] for cause in causes if cause in out)
    return out
