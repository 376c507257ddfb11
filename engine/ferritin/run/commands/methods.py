"""`ferritin methods`: every method with its parameters, units, defaults and source."""

from __future__ import annotations

import json
import sys

import click

from ferritin.registry import Method, methods
from ferritin.stages import STAGES


@click.command()
@click.argument("stage", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(stage: str | None, as_json: bool) -> None:
    """List the methods of all stages, or of one STAGE; when not to a terminal, one a line, tabs between columns."""
    found = methods(stage)
    if as_json:
        click.echo(json.dumps([_as_dict(m) for m in found], indent=1, default=str))
        return
    rows = [_row(m) for m in found]
    if sys.stdout.isatty():
        _print_table(rows)
        click.echo("* the default; names in brackets are used when they are there")
        return
    for row in rows:  # for grep and cut: a method a line, whatever the width
        click.echo("\t".join(row))


def _row(m: Method) -> tuple[str, ...]:
    """Stage, method, needs, parameters and source in words."""
    star = " *" if STAGES[m.stage].default == m.name else ""
    parameters = ", ".join(f"{p.name} {p.default}{'' if p.unit in ('', '1') else ' ' + p.unit}" for p in m.parameters)
    needs = ", ".join([*m.consumes, *(f"({name})" for name in m.optional)])
    return m.stage, m.name + star, needs, parameters, " ".join(m.source.split())


def _print_table(rows: list[tuple[str, ...]]) -> None:
    """A table of the terminal's width; the names that one looks for stay whole."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("stage", "method"):
        table.add_column(title, no_wrap=True)
    for title in ("needs", "parameters (default)", "source"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _as_dict(m: Method) -> dict:
    return {
        "stage": m.stage,
        "method": m.name,
        "default": STAGES[m.stage].default == m.name,
        "source": m.source,
        "consumes": m.consumes,
        "optional": m.optional,
        "produces": m.produces,
        "parameters": [{"name": p.name, "default": p.default, "unit": p.unit} for p in m.parameters],
    }
