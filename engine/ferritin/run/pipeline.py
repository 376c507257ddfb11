"""The pipeline: run the steps of a plan in order, keep only what is still needed, and record what each step cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ferritin import backend
from ferritin.errors import FerritinError, InputError
from ferritin.run.cache import data_key, stage_key
from ferritin.run.config import checked
from ferritin.run.info import StageInfo
from ferritin.run.plan import Plan, Step, default_targets, make_plan, targets_until
from ferritin.run.progress import Progress
from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS, STAGES, check


class Earlier(Protocol):
    """Results of an earlier run: what it said of a stage with this key, and what the stage made; None without."""

    def info(self, stage: str, key: str) -> StageInfo | None: ...

    def products(self, stage: str) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True, eq=False)
class Maps:
    """The result: every artifact that was asked for as an attribute (host arrays), and how it was made.

    mask is the brain mask, local_mask where local_field and chi are valid; units and shapes as in stages.py.
    """

    scan: Scan
    artifacts: Mapping[str, Any]
    stages: tuple[StageInfo, ...]
    missing: Mapping[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        if name in self.artifacts:
            return self.artifacts[name]
        why = self.missing.get(name, f"it was not asked for; there are {', '.join(self.artifacts)}")
        raise AttributeError(f"no {name}: {why}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.artifacts]


def reconstruct(
    scan: Scan,
    *,
    targets: Collection[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "auto",
    mask: Any = None,
    keep: Collection[str] = (),
    progress: Progress | None = None,
    earlier: Earlier | None = None,
) -> Maps:
    """Reconstruct a scan: from what its file supplies to the wanted artifacts.

    Parameters
    ----------
    scan : Scan
        From `ferritin.read`; its `data` holds `raw` or `echoes`, or any later artifact.
    targets : names of artifacts, or one, optional
        What to make; only the stages that these need are run. When not given: R2 of spin echoes, everything else of
        gradient echoes. What cannot be made (one echo has no R2*) is in `missing` with its reason.
    settings : {stage: {"method": name, parameter: value}}, optional
        Choices beside the defaults.
    device : "auto", "cpu", "cuda" or "cuda:n"
        Arrays move once, as soon as they are made or read, and the maps come back once.
    mask : (x, y, z) bool, optional
        Takes the place of the `mask` stage.
    keep : names of artifacts
        Intermediate artifacts to return as well, for example `echoes`.
    earlier : results of an earlier run, optional
        Stages whose input and options are unchanged are taken from it.

    Returns
    -------
    Maps

    Raises
    ------
    FerritinError
        With the stage and method in its message; or a target, stage, method or parameter is not known.
    """
    targets = default_targets(scan.sequence) if targets is None else targets
    targets = (targets,) if isinstance(targets, str) else tuple(targets)
    for name in targets:
        targets_until(name)
    checked(settings or {})
    available = dict(scan.data)
    if mask is not None:
        available["mask"] = mask
    available |= _given_masks(available)
    plan = make_plan(targets, available, scan, settings or {})
    _require_sequence(plan, scan)
    run = _Run(scan, plan, backend.device_of(device), progress or Progress.silent(), earlier)
    return run.execute(available, {*targets, *keep})


def _require_sequence(plan: Plan, scan: Scan) -> None:
    """Raise when a stage cannot use this kind of echoes: spin echoes have no R2*, gradient echoes no R2."""
    for step in plan.steps:
        wanted = STAGES[step.stage].sequence
        if wanted not in (None, scan.sequence):
            raise InputError(
                f"{step.stage} is made of {wanted}es, the scan holds {scan.sequence}es; give another scan, or what "
                f"{step.stage} makes as a file"
            )


def _given_masks(available: Mapping[str, Any]) -> dict[str, Any]:
    """A field that comes with a mask and not through its stage is valid in that mask."""
    return {
        given: available[name]
        for stage in STAGES.values()
        for name, given in stage.gives.items()
        if stage.produces[0] in available and given not in available and name in available
    }


@dataclass
class _Run:
    """One execution of a plan. `values` holds the live artifacts, `keys` says from what each was made."""

    scan: Scan
    plan: Plan
    device: str
    progress: Progress
    earlier: Earlier | None
    values: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    said: dict[str, StageInfo] = field(default_factory=dict)

    def execute(self, available: Mapping[str, Any], wanted: Collection[str]) -> Maps:
        for name, value in available.items():
            self.values[name] = check(name, value, self.scan)
            self.keys[name] = data_key(name, value, self.scan)
        self._keep(available, wanted)
        found = self._look_up()
        steps = self._needed(found, wanted)
        infos = dict(self.said)
        with self.progress.stages([s.stage for s in steps]) as bars:
            for i, step in enumerate(steps):
                with bars.stage(step.stage, step.method.name) as advance:
                    info, products = found.get(step.stage) or self._compute(step, advance)
                self._store(step, info.key, products, wanted)
                infos[step.stage] = info
                self._forget(steps[i + 1 :], found)
        order = [s.stage for s in self.plan.steps if s.stage in infos]
        return Maps(self.scan, self.kept, tuple(infos[stage] for stage in order), self.plan.missing)

    def _look_up(self) -> dict[str, tuple[StageInfo, Mapping[str, Any]]]:
        """Results of an earlier run for the steps whose key is unchanged. Keys need no data, so all come first."""
        found, keys = {}, dict(self.keys)
        for step in self.plan.steps:
            key = stage_key(step, keys, _version())
            keys |= dict.fromkeys(map(step.product, step.method.produces), key)
            info = self.earlier and self.earlier.info(step.stage, key)
            if info:
                self.said[step.stage] = info  # also of stages whose products were not written, and fed others
                products = self.earlier.products(step.stage)
                if products is not None:
                    found[step.stage] = info, products
        return found

    def _needed(self, found: Collection[str], wanted: Collection[str]) -> list[Step]:
        """The steps without those that only fed results which an earlier run has left."""
        alive, steps = set(wanted), []
        for step in reversed(self.plan.steps):
            if step.stage in found or alive & {*map(step.product, step.method.produces)}:
                steps.append(step)
                if step.stage not in found:
                    alive |= {*step.reads}
        return steps[::-1]

    def _compute(self, step: Step, advance: Callable[[int, int], None]) -> tuple[StageInfo, Mapping[str, Any]]:
        """Call the method on its artifacts, where it works, and measure it."""
        device = "cpu" if step.method.host else self.device
        inputs = [self._input(step.source(name), device) for name in step.method.consumes]
        optional = {
            n: self._input(step.source(n), device) for n in step.method.optional if step.source(n) in self.values
        }
        keywords = dict(step.keywords) | ({"progress": advance} if step.method.takes_progress else {})
        key = stage_key(step, self.keys, _version())
        backend.reset_peak_memory()
        start, cpu = time.perf_counter(), time.process_time()
        try:
            with backend.count_ffts() as ffts, backend.on_device(device):
                result = step.method(*inputs, scan=self.scan, **optional, **keywords)
                backend.synchronize(device)
        except FerritinError as why:
            raise type(why)(f"{step.stage} ({step.method.name}): {why}") from why
        info = StageInfo(
            step.stage,
            step.method.name,
            step.method.source,
            _public(step),
            time.perf_counter() - start,
            backend.peak_memory(),
            ffts.count,
            result.record,
            key=key,
            cpu_seconds=time.process_time() - cpu,
            inputs=tuple(map(step.source, (*step.method.consumes, *optional))),
        )
        return info, {
            step.product(name): self._checked(step.product(name), getattr(result, name))
            for name in step.method.produces
        }

    def _input(self, name: str, device: str) -> Any:
        """An artifact where the method works; moved once and kept there."""
        if name not in self.values:
            stage = next((s.name for s in STAGES.values() if name in s.produces), None)
            raise InputError(f"{name} is needed and not there" + (f"; the stage {stage} makes it" if stage else ""))
        value = self.values[name]
        self.values[name] = backend.to_host(value) if device == "cpu" else backend.to_device(value, device)
        return self.values[name]

    def _checked(self, name: str, value: Any) -> Any:
        """A product as the map says; a mask must have voxels."""
        check(name, value, self.scan)
        if ARTIFACTS[name].dtype == "bool" and not bool(value.any()):
            raise InputError(f"{name} has no voxel left of {value.size}; give a mask with --mask, or other parameters")
        return value

    def _store(self, step: Step, key: str, products: Mapping[str, Any], wanted: Collection[str]) -> None:
        self.values |= products
        self.keys |= dict.fromkeys(products, key)
        self._keep(products, {*wanted, *products} if STAGES[step.stage].produces[0] in wanted else wanted)

    def _keep(self, products: Mapping[str, Any], wanted: Collection[str]) -> None:
        """Copy what the caller asked for to the host; products of a wanted stage are kept together."""
        for name, value in products.items():
            if name in wanted and value is not None and name in ARTIFACTS and name not in ("raw", "coil_images"):
                self.kept[name] = backend.to_host(value)

    def _forget(self, later: list[Step], found: Mapping[str, Any]) -> None:
        """Drop what no later step reads, so that the echoes do not stay through the inversion."""
        alive = {name for step in later if step.stage not in found for name in step.reads}
        for name in [n for n in self.values if n not in alive]:
            value = self.values.pop(name)
            if hasattr(value, "close"):
                value.close()


def _public(step: Step) -> dict[str, Any]:
    """Parameters by the names that the user sets."""
    return {p.name: step.keywords[p.keyword] for p in step.method.parameters}


def _version() -> str:
    from ferritin import __version__

    return __version__
