"""Which cases to run: the quick and the full benchmark, or a plan of the user's in TOML."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

from ferritin.errors import FormatError, ParameterError, UnknownMethodError
from ferritin.phantom import Protocol
from ferritin.registry import Method, methods
from ferritin.run.bench.case import TASKS, Case
from ferritin.run.bench.dataset import Dataset, is_whole, make_dataset
from ferritin.run.bench.external import parse_external
from ferritin.stages import STAGES

_SWEPT = ("lambda", "alpha", "threshold", "radius_mm", "iterations", "n_iterations")
_LAMBDAS = (3e-6, 1e-5, 3e-5, 1e-4, 3e-4)  # ppm, for a method that chooses its own
_FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
_HEADS = {
    "plain": {"calcification": False, "haemorrhage": False},
    "lesions": {"calcification": True, "haemorrhage": True},
}


@dataclass(frozen=True)
class Plan:
    """A benchmark.

    Attributes
    ----------
    tasks : keys of TASKS
    phantoms : names: plain, lesions, or folders of datasets
    voxel_mm : of the phantoms; b0_t, snr likewise
    devices : cpu, cuda:n
    repeats : of each case in its process
    sweep : factors on the swept parameter's default, () for none
    sweeps : {"stage.method": {parameter: values}}, in place of the factors
    only : methods to keep, as "method" or "stage.method"; all when empty
    external : NAME:TASK:COMMAND
    imports : modules that register methods
    timeout_s : of one case
    """

    tasks: tuple[str, ...] = ("field", "background", "dipole", "background+dipole", "r2star", "chain")
    phantoms: tuple[str, ...] = ("plain", "lesions")
    voxel_mm: pydantic.PositiveFloat = 1.5
    b0_t: pydantic.PositiveFloat = 7.0
    snr: pydantic.PositiveFloat = 100.0
    seed: pydantic.NonNegativeInt = 1
    devices: tuple[str, ...] = ("cpu",)
    repeats: pydantic.PositiveInt = 3
    sweep: tuple[float, ...] = _FACTORS
    sweeps: Mapping[str, Mapping[str, tuple]] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    timeout_s: pydantic.PositiveFloat = 1800.0


QUICK = Plan(phantoms=("lesions",), voxel_mm=3.5, repeats=1, sweep=(), timeout_s=60.0)
"""Every method once, on a coarse head: within 5 minutes on 2 cores."""

FULL = Plan()


def load_plan(path: str | Path, base: Plan = FULL) -> Plan:
    """A plan from TOML: fields of Plan, sweeps in tables [sweeps."dipole.tv"]. Raises FormatError, ParameterError."""
    try:
        said = tomllib.loads(Path(path).read_text())
    except (OSError, ValueError) as why:  # not there, or not TOML, or bytes that are no text
        raise FormatError(f"{path}: not a plan in TOML ({why})") from None
    return changed(base, said, str(path))


def changed(base: Plan, said: Mapping[str, Any], where: str = "options") -> Plan:
    """A plan with some fields changed; lists become tuples. Raises ParameterError."""
    known = Plan.__dataclass_fields__
    for name in said:
        if name not in known:
            raise ParameterError(f"{where}: a plan has no '{name}'; it has {', '.join(known)}")
    values = {name: said.get(name, getattr(base, name)) for name in known}
    try:
        return pydantic.TypeAdapter(Plan).validate_python(values)
    except pydantic.ValidationError as why:
        wrong = why.errors()[0]
        name = wrong["loc"][0]
        raise ParameterError(
            f"{where}: {name} = {said.get(name)!r} is not valid: {wrong['msg'].lower()}; "
            f"without it the plan has {getattr(base, name)!r}"
        ) from None


def load_imports(plan: Plan) -> None:
    """Import the modules that register methods of the user's. Raises ParameterError."""
    for module in plan.imports:
        try:
            importlib.import_module(module)
        except Exception as why:  # whatever the user's code does wrong
            raise ParameterError(
                f"module {module!r} cannot be imported ({type(why).__name__}: {why}); "
                "expected one that Python finds, in a folder of PYTHONPATH for example"
            ) from why


def folders(plan: Plan, out: Path) -> list[Path]:
    """Where the plan's data lie, or will once `make_datasets` has run."""
    return [_made(plan, out, name) if name in _HEADS else Dataset(name).folder for name in plan.phantoms]


def make_datasets(plan: Plan, out: Path, say: Callable[[str], None] = lambda line: None) -> None:
    """Simulate the plan's heads that are not there."""
    for name in plan.phantoms:
        if name in _HEADS and not is_whole(folder := _made(plan, out, name)):
            say(f"simulating {folder}")
            protocol = Protocol(voxel_mm=(plan.voxel_mm,) * 3, b0_t=plan.b0_t, snr=plan.snr)
            make_dataset(folder, protocol, plan.seed, **_HEADS[name])


def _made(plan: Plan, out: Path, name: str) -> Path:
    return out / "data" / f"{name}-{plan.b0_t:g}t-{plan.voxel_mm:g}mm-snr{plan.snr:g}-seed{plan.seed}"


def cases(plan: Plan, data: Iterable[Path]) -> list[Case]:
    """Every case of a plan on some folders of data, in the order of the tasks; sweeps follow their method's default.

    Raises ParameterError or UnknownMethodError for a task or method that is not there, and when no case is left.
    """
    unknown = [task for task in plan.tasks if task not in TASKS]
    if unknown:
        raise ParameterError(f"task '{unknown[0]}' is not known; there are {', '.join(TASKS)}")
    there = {name for m in methods() for name in (m.name, f"{m.stage}.{m.name}")}
    if wrong := [name for name in plan.only if name not in there]:
        raise UnknownMethodError(f"no stage has a method '{wrong[0]}'; `ferritin methods` lists what there is")
    out = []
    for folder in map(str, data):
        for device in plan.devices:
            for task in plan.tasks:
                for settings in _settings(task, plan):
                    out.append(Case(task, settings, folder, device, "", "", plan.repeats, plan.imports))
        for text in plan.external:
            name, task, command = parse_external(text)
            if task in plan.tasks:
                out.append(Case(task, {}, folder, "cpu", command, name, plan.repeats))
    if not out:
        raise ParameterError(
            f"nothing to run: of the tasks {', '.join(plan.tasks) or '(none)'} none is done with "
            f"{', '.join(plan.only) or 'any method'}; choose other tasks or methods"
        )
    return out


def _settings(task: str, plan: Plan) -> list[dict[str, dict[str, Any]]]:
    """Methods of a task and their sweeps."""
    out = []
    for choice in _combinations(task, plan):
        settings = {m.stage: {"method": m.name} for m in choice}
        out.append(settings)
        if choice and task not in ("background+dipole", "chain"):
            last = choice[-1]
            out += [{**settings, last.stage: {"method": last.name, **p}} for p in _swept(last, plan)]
    return out


def _combinations(task: str, plan: Plan) -> list[tuple[Method, ...]]:
    """Every method of a stage; for a field every unwrapping that it needs; for total field to χ the methods that make
    it in one step, and every background removal before the default inversion; the whole chain by the defaults, and in a
    benchmark that varies parameters with one stage at a time done otherwise."""
    wanted = {stage: [m for m in methods(stage) if _wanted(m, plan)] for stage in TASKS[task][0]}
    if task == "chain":
        return [] if plan.only else [(), *_one_otherwise(plan)]
    if task == "field":
        needs = {m: "unwrapped_phase" in (*m.consumes, *m.optional) for m in wanted["field"]}
        return [(u, m) for m in needs if needs[m] for u in methods("unwrap")] + [(m,) for m in needs if not needs[m]]
    if task == "background+dipole":
        single = [(m,) for m in wanted["dipole"] if _single_step(m)]
        return single + [(m,) for m in wanted["background"]]
    (stage,) = TASKS[task][0]
    return [(m,) for m in wanted[stage] if not _single_step(m)]


def _one_otherwise(plan: Plan) -> list[tuple[Method, ...]]:
    """Every method of the chain that is not a default, alone; none in a plan without sweeps."""
    stages = [s for s in TASKS["chain"][0] if s != "refine"] if plan.sweep else []
    others = [m for stage in stages for m in methods(stage) if m.name != STAGES[stage].default]
    return [(m,) for m in others if not _single_step(m)]


def _single_step(method: Method) -> bool:
    """An inversion that starts before the local field."""
    return method.stage == "dipole" and "local_field" not in method.consumes


def _wanted(method: Method, plan: Plan) -> bool:
    return not plan.only or method.name in plan.only or f"{method.stage}.{method.name}" in plan.only


def _swept(method: Method, plan: Plan) -> list[dict[str, Any]]:
    """Values of one parameter: those that the plan names, or factors on the default of the regularisation."""
    named = plan.sweeps.get(f"{method.stage}.{method.name}", {})
    if named:
        return [{name: value} for name, values in named.items() for value in values]
    defaults = {p.name: p.default for p in method.parameters}
    name = next((n for n in _SWEPT if n in defaults), None)
    if name is None or not plan.sweep:
        return []
    default = defaults[name]
    if type(default) not in (int, float) or not default:
        return [{name: value} for value in _LAMBDAS] if name == "lambda" else []
    values = [float(f"{default * f:.6g}") for f in plan.sweep if f != 1.0]
    if isinstance(default, int):
        values = sorted({max(1, round(v)) for v in values} - {default})
    return [{name: value} for value in values]
