"""Methods by stage and name. A method is one file: a function with the decorator `method`; nothing else is edited.

What a method consumes, its parameters, their units and defaults, and what it produces are read from its signature.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from ferritin.door import through_the_door
from ferritin.errors import ParameterError, UnknownMethodError
from ferritin.stages import STAGES


@dataclass(frozen=True)
class Parameter:
    """A keyword-only argument of a method; `name` has no trailing underscore (`lambda_` is set as lambda)."""

    name: str
    keyword: str
    default: Any
    type: Any
    unit: str


@dataclass(frozen=True)
class Method:
    """One way to do a stage. host: it works on host arrays whatever the device, and the pipeline moves them.

    needs: by optional argument the parameter that makes the method need it.
    """

    stage: str
    name: str
    function: Callable[..., Any]
    source: str
    consumes: tuple[str, ...]
    optional: tuple[str, ...]
    produces: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    host: bool = False
    takes_progress: bool = False
    needs: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def keywords(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Turn settings (text or values, by parameter name) into checked keyword arguments."""
        known = {p.name: p for p in self.parameters}
        out = {}
        for name, value in settings.items():
            if name not in known:
                raise UnknownMethodError(
                    f"{self.stage}.{self.name} has no parameter '{name}'; it has: {', '.join(known) or 'none'}"
                )
            out[known[name].keyword] = _convert(self, known[name], value)
        return out


def _convert(method: Method, parameter: Parameter, value: Any) -> Any:
    """Text or a TOML value to the parameter's annotated type."""
    import pydantic

    adapter = pydantic.TypeAdapter(parameter.type)
    if isinstance(value, str):
        value = value.strip()
        if "," in value or (value[:1] in ("[", "(") and value[-1:] in ("]", ")")):
            value = value.strip("[]()").replace(",", " ").split()
        elif value.lower() == "none":  # nothing, unless the parameter has a choice of this name
            with contextlib.suppress(pydantic.ValidationError):
                return adapter.validate_python(None)
    try:
        return adapter.validate_python(value)
    except pydantic.ValidationError as why:
        raise ParameterError(
            f"{method.stage}.{parameter.name} = {value!r} is not valid: {why.errors()[0]['msg'].lower()}; "
            f"the default is {parameter.default!r}"
        ) from None


_methods: dict[tuple[str, str], Method] = {}
_around: dict[str, Callable[[Callable], Callable]] = {}


def around(stage: str, wrapper: Callable[[Callable], Callable]) -> None:
    """Put a wrapper around every method of a stage that is registered from now on: what they all can do beside."""
    _around[stage] = wrapper


def method(
    stage: str, *, source: str, name: str | None = None, host: bool = False, needs: Mapping[str, str] | None = None
) -> Callable[[Callable], Callable]:
    """Register a function as a method of a stage, under its own name unless another is given.

    source: paper and equation that the method is written from. host: it needs host arrays (region growing, say). needs:
    by optional argument the parameter that makes the method need it, unless that is "none".
    Parameters of the method may be annotated with their unit: `radius_mm: Annotated[float, "mm"] = 12.0`.
    """

    def register(function: Callable) -> Callable:
        function = through_the_door(_around.get(stage, lambda f: f)(function), host)
        entry = _describe(stage, name or function.__name__.rstrip("_"), function, source, host, needs or {})
        _methods[stage, entry.name] = entry
        return function

    return register


def _describe(stage: str, name: str, function: Callable, source: str, host: bool, needs: Mapping[str, str]) -> Method:
    if stage not in STAGES:
        raise UnknownMethodError(f"no stage '{stage}'; the stages are {', '.join(STAGES)}")
    hints = typing.get_type_hints(function, include_extras=True)
    positional, parameters = [], []
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY:
            hint = hints.get(p.name, Any)
            extras = getattr(hint, "__metadata__", ())
            unit = next((m for m in extras if isinstance(m, str)), "")
            if p.name != "progress":
                parameters.append(Parameter(p.name.rstrip("_"), p.name, p.default, hint, unit))
        elif p.name != "scan":
            positional.append(p)
    return Method(
        stage=stage,
        name=name,
        function=function,
        source=source,
        consumes=tuple(p.name for p in positional if p.default is p.empty),
        optional=tuple(p.name for p in positional if p.default is not p.empty),
        produces=tuple(f for f in hints["return"]._fields if f != "record"),
        parameters=tuple(parameters),
        host=host,
        takes_progress="progress" in inspect.signature(function).parameters,
        needs=needs,
    )


_expressions: dict[str, Callable[[str, str], Method]] = {}


def expressions(folder: str) -> Callable[[Callable], Callable]:
    """Register a function (stage, text) -> Method for names that are expressions of methods: "bet & quality"."""

    def register(function: Callable[[str, str], Method]) -> Callable[[str, str], Method]:
        _expressions[folder] = function
        return function

    return register


@cache
def load_all() -> None:
    """Import every module of the stage folders, and the modules that other packages offer as `ferritin.methods`."""
    for folder in dict.fromkeys(stage.folder for stage in STAGES.values()):
        package = importlib.import_module(f"ferritin.{folder}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    for point in entry_points(group="ferritin.methods"):
        point.load()


def export(package: str, names: dict[str, Any]) -> None:
    """Put every registered function of a stage folder into the folder's own namespace: ferritin.dipole.tkd."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
    for entry in list(_methods.values()):
        if entry.function.__module__.startswith(package + "."):
            names[entry.function.__name__] = entry.function


def methods(stage: str | None = None) -> list[Method]:
    """All methods, or those of one stage, in the order of the stages."""
    load_all()
    if stage is not None and stage not in STAGES:
        raise UnknownMethodError(f"no stage '{stage}'; the stages are {', '.join(STAGES)}")
    order = list(STAGES)
    found = [m for m in _methods.values() if stage in (None, m.stage)]
    return sorted(found, key=lambda m: (order.index(m.stage), m.name))


def find(stage: str, name: str | None = None) -> Method:
    """One method; the stage's default when no name is given. Raises UnknownMethodError naming what there is.

    In a folder that has a grammar (masks), a name may be an expression of several methods.
    """
    there = {m.name: m for m in methods(stage)}
    name = name or STAGES[stage].default
    if name not in there:
        if not name.isidentifier() and STAGES[stage].folder in _expressions:
            return _expressions[STAGES[stage].folder](stage, name)
        raise UnknownMethodError(f"stage '{stage}' has no method '{name}'; it has: {', '.join(there)}")
    return there[name]
