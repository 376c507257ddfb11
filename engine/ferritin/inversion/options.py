"""What every inversion can do beside inverting: choose its own weight, and say how sure its map is."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from ferritin.inversion.uncertainty import standard_deviation
from ferritin.inversion.weight import Rule, settle

_NOISE = inspect.Parameter("field_noise", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Any)
_SAMPLES = inspect.Parameter(
    "uncertainty", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=Annotated[int, "samples"]
)


def with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A dipole method with `lambda_` open to rules, where it has one, and with `uncertainty`.

    field_noise : as an artifact also of methods that do not weight their data, for the uncertainty alone.
    uncertainty : simulated fields from which chi_sd is made, the standard deviation of chi; 0 for none. Each costs an
        inversion, and there is one beside: 8 are enough.
    """
    signature = inspect.signature(function)
    parameters, hints = dict(signature.parameters), dict(function.__annotations__)
    unit = "1"
    if "lambda_" in parameters:
        hint = typing.get_type_hints(function, include_extras=True)["lambda_"]
        unit = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, str)), unit)
        hints["lambda_"] = Annotated[float | Rule, unit]
        parameters["lambda_"] = parameters["lambda_"].replace(annotation=hints["lambda_"])
    weighted = "field_noise" in parameters
    given = [p for p in parameters.values() if p.kind is not p.KEYWORD_ONLY] + ([] if weighted else [_NOISE])
    named = [p for p in parameters.values() if p.kind is p.KEYWORD_ONLY and p.name != "progress"]
    last = [p for p in parameters.values() if p.name == "progress"]
    signature = signature.replace(parameters=[*given, *named, _SAMPLES, *last])

    @functools.wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        samples, noise = bound.arguments.pop("uncertainty"), bound.arguments.get("field_noise")
        if not weighted:
            del bound.arguments["field_noise"]
        note = settle(function, bound, unit)
        result = function(*bound.args, **bound.kwargs)
        notes = [note] if note else []
        if samples:
            result = result._replace(chi_sd=standard_deviation(function, bound, noise, result.chi, samples))
            notes.append(f"chi_sd from {samples} simulated fields")
        return result._replace(record=replace(result.record, notes=(*notes, *result.record.notes)))

    method.__signature__ = signature
    method.__annotations__ = hints | {"uncertainty": _SAMPLES.annotation}
    return method
