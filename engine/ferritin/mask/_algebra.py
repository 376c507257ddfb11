"""Masks from masks: expressions such as "bet & quality" or "erode(bet | signal, 2 mm)" as methods of a stage."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ferritin import registry
from ferritin.errors import ParameterError
from ferritin.mask import _shape
from ferritin.ops.smv import erode
from ferritin.registry import Method
from ferritin.stages import Mask, Record

_WITH_RADIUS = {
    "erode": lambda mask, mm, voxel_mm: erode(mask, mm, voxel_mm, walls=False),
    "dilate": _shape.dilate,
    "open": lambda mask, mm, voxel_mm: _shape.dilate(erode(mask, mm, voxel_mm, walls=False), mm, voxel_mm) & mask,
    "close": _shape.close,
}
_PLAIN = {"fill": _shape.fill_holes, "largest": _shape.largest_piece}
_BETWEEN = {ast.BitAnd: lambda a, b: a & b, ast.BitOr: lambda a, b: a | b, ast.Sub: lambda a, b: a & ~b}

Evaluation = Callable[[dict[str, Any], tuple[float, ...]], Any]
"""(masks by method name, voxel_mm) to a mask."""


@registry.expressions("mask")
def expression(stage: str, text: str) -> Method:
    """Read an expression of the stage's methods.

    `a & b`, `a | b`, `a - b` (a without b), `~a`; `erode(a, 2 mm)`, `dilate`, `open` and `close` with a ball's radius,
    `fill(a)` and `largest(a)`. A method's parameters are set as `mask.bet.fraction`. Every method runs once.

    The masks of a two-pass inversion (Stewart et al., MRM 2022;87:1289) are `quality & bet` for the reliable voxels,
    holes kept, and `fill(quality & bet)` for the second pass; one reconstruction takes one of them.

    Raises
    ------
    ParameterError
        The text is no such expression.
    UnknownMethodError
        It names a method that the stage does not have.
    """
    try:
        tree = ast.parse(re.sub(r"(\d)\s*mm\b", r"\1", text), mode="eval").body
    except SyntaxError:
        raise _refusal(stage, text, "it cannot be read") from None
    methods: dict[str, Method] = {}
    evaluate = _read(tree, stage, text, methods)
    parts = list(methods.values())
    consumes = tuple(dict.fromkeys(name for m in parts for name in m.consumes))
    optional = dict.fromkeys(name for m in parts for name in m.optional if name not in consumes)
    return Method(
        stage=stage,
        name=text,
        function=_runner(methods, consumes, evaluate),
        source="; ".join(dict.fromkeys(m.source for m in parts)),
        consumes=consumes,
        optional=tuple(optional),
        produces=("mask",),
        parameters=tuple(
            replace(p, name=f"{m.name}.{p.name}", keyword=f"{m.name}.{p.keyword}") for m in parts for p in m.parameters
        ),
        host=any(m.host for m in parts),
    )


def _read(node: ast.expr, stage: str, text: str, methods: dict[str, Method]) -> Evaluation:
    """A node of the expression as a function of the methods' masks; finds the methods on the way."""
    inner = lambda n: _read(n, stage, text, methods)  # noqa: E731
    match node:
        case ast.Name(id=name):
            methods[name] = registry.find(stage, name)
            return lambda masks, voxel_mm: masks[name]
        case ast.UnaryOp(op=ast.Invert(), operand=a):
            a = inner(a)
            return lambda masks, voxel_mm: ~a(masks, voxel_mm)
        case ast.BinOp(left=a, op=op, right=b) if type(op) in _BETWEEN:
            a, b, combine = inner(a), inner(b), _BETWEEN[type(op)]
            return lambda masks, voxel_mm: combine(a(masks, voxel_mm), b(masks, voxel_mm))
        case ast.Call(func=ast.Name(id=name), args=[a], keywords=[]) if name in _PLAIN:
            a = inner(a)
            return lambda masks, voxel_mm: _PLAIN[name](a(masks, voxel_mm))
        case ast.Call(func=ast.Name(id=name), args=[a, ast.Constant(value=int() | float() as mm)], keywords=[]) if (
            name in _WITH_RADIUS
        ):
            a = inner(a)
            return lambda masks, voxel_mm: _WITH_RADIUS[name](a(masks, voxel_mm), float(mm), voxel_mm)
    raise _refusal(stage, text, f"'{ast.unparse(node)}' is not known")


def _refusal(stage: str, text: str, why: str) -> ParameterError:
    names = ", ".join(m.name for m in registry.methods(stage))
    return ParameterError(
        f"{stage}.method = {text!r}: {why}; expected names ({names}) joined by & | - ~, "
        f"or erode(a, 2 mm), dilate, open, close, fill(a), largest(a)"
    )


def _runner(methods: dict[str, Method], consumes: tuple[str, ...], evaluate: Evaluation) -> Callable[..., Mask]:
    """The function of the composed method."""

    def run(*inputs: Any, scan: Any, **named: Any) -> Mask:
        there = dict(zip(consumes, inputs)) | {name: v for name, v in named.items() if "." not in name}
        masks, records = {}, {}
        for name, m in methods.items():
            keywords = {p.keyword: named.get(f"{name}.{p.keyword}", p.default) for p in m.parameters}
            optional = {n: there[n] for n in m.optional if n in there}
            masks[name], records[name] = m(*(there[n] for n in m.consumes), scan=scan, **optional, **keywords)
        notes = tuple(f"{name}: {note}" for name, record in records.items() for note in record.notes)
        most = max((r.iterations for r in records.values()), default=0)
        return Mask(evaluate(masks, scan.voxel_mm), Record(iterations=most, notes=notes))

    return run
