"""What the user chose: a method and parameters per stage, from defaults, a TOML file and --set, in that order."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ferritin.errors import FormatError, ParameterError, UnknownMethodError
from ferritin.registry import Method, find
from ferritin.stages import STAGES

Settings = dict[str, dict[str, Any]]
"""Stage name to {"method": name, parameter: value}; what is not there is the default."""


def load(path: str | Path) -> Settings:
    """Settings from a TOML file with one table per stage. Raises FormatError, UnknownMethodError or ParameterError."""
    try:
        with open(path, "rb") as f:
            tables = tomllib.load(f)
    except FileNotFoundError:
        raise FormatError(f"{path}: no such configuration file; `ferritin config --defaults` prints one") from None
    except OSError as why:
        raise FormatError(f"{path} cannot be read ({why.strerror}); expected a TOML file") from None
    except ValueError as why:  # of TOML, or bytes that are no text
        raise FormatError(f"{path}: not valid TOML ({why}); `ferritin config --defaults` prints a valid one") from None
    for stage, table in tables.items():
        if not isinstance(table, dict):
            raise ParameterError(f"{path}: '{stage} = {table!r}' stands outside a table; write it under [stage]")
    checked(tables)
    return tables


def parse(assignments: Iterable[str]) -> Settings:
    """Settings from `stage.parameter=value` texts (--set)."""
    settings: Settings = {}
    for text in assignments:
        target, equals, value = text.partition("=")
        stage, dot, name = target.strip().partition(".")
        if not (equals and dot and name):
            raise ParameterError(f"--set {text!r} is not STAGE.PARAMETER=VALUE, for example dipole.method=tkd")
        settings.setdefault(stage, {})[name] = value.strip()
    checked(settings)
    return settings


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Later layers win; a layer that changes a stage's method drops the parameters of the earlier one."""
    out: Settings = {}
    for layer in layers:
        for stage, table in layer.items():
            old = out.get(stage, {})
            if table.get("method", old.get("method")) != old.get("method"):
                old = {}
            out[stage] = old | dict(table)
    return out


def choose(settings: Mapping[str, Mapping[str, Any]], stage: str, n_echoes: int = 2) -> tuple[Method, dict[str, Any]]:
    """The method of a stage and its complete, checked keyword arguments."""
    table = _flat(settings.get(stage, {}))
    name = table.pop("method", None)
    if name is None and n_echoes == 1:
        name = STAGES[stage].one_echo
    method = find(stage, name)
    return method, {p.keyword: p.default for p in method.parameters} | method.keywords(table)


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Sub-tables as dotted names: [mask.bet] fraction = 0.4 is the parameter bet.fraction."""
    dotted = {f"{a}.{b}": value for a, inner in table.items() if isinstance(inner, dict) for b, value in inner.items()}
    return {name: value for name, value in table.items() if not isinstance(value, dict)} | dotted


def checked(settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise if a stage, method or parameter is not known, or a value is not valid."""
    for stage, table in settings.items():
        if stage not in STAGES:
            raise UnknownMethodError(f"no stage '{stage}'; the stages are {', '.join(STAGES)}")
        name = table.get("method")
        if name is not None and not isinstance(name, str):
            raise ParameterError(
                f"{stage}.method = {name!r}; expected a method's name in quotes, for example {STAGES[stage].default!r}"
            )
        method, keywords = choose(settings, stage)
        given = _flat(table)
        for p in method.parameters:
            if p.name in given and (expected := _expected(stage, p.name, keywords[p.keyword])):
                raise ParameterError(
                    f"{stage}.{p.name} = {given[p.name]}; expected {expected}; the default is {p.default!r}"
                )


def _expected(stage: str, name: str, value: Any) -> str:
    """What a number should have been that no method can work with; "" for one that may do.

    Each method knows its own ranges; this is what they all share, said before the work that precedes them.
    """
    numbers = [v for v in (value if isinstance(value, (list, tuple)) else (value,)) if type(v) in (int, float)]
    last = name.rpartition(".")[2]
    if not all(map(math.isfinite, numbers)):
        return "a finite number"
    if last == "lambda" and any(v < 0 or (v == 0 and stage != "background") for v in numbers):
        return "a number above 0"  # a background filter may do without regularisation
    if last == "iterations" and any(v < 1 for v in numbers):
        return "1 or more"
    return ""


def as_toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """The complete configuration as TOML, units as comments."""
    lines = []
    for stage in STAGES.values():
        method, keywords = choose(settings, stage.name)
        lines += [f"# {stage.meaning}", f"[{stage.name}]", f'method = "{method.name}"  # {method.source}']
        for p in method.parameters:
            unit = f"  # {p.unit}" if p.unit and p.unit != "1" else ""
            value = keywords[p.keyword]
            lines.append(f"{p.name} = {_toml(value)}{unit}" if value is not None else f"# {p.name} = none{unit}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
