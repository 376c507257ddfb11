"""`ferritin methods`: every method with its parameters, units, defaults and source."""

from __future__ import annotations

import json

import click

from ferritin.registry import Method, methods
from ferritin.stages import STAGES


@click.command()
@click.argument("stage", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(stage: str | None, as_json: bool) -> None:
    """List the methods of all stages, or of one STAGE."""
    found = methods(stage)
    if as_json:
        click.echo(json.dumps([_as_dict(m) for m in found], indent=1, default=str))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for title in ("stage", "method", "needs", "parameters (default)", "source"):
        table.add_column(title, overflow="fold")
    for m in found:
        star = " *" if STAGES[m.stage].default == m.name else ""
        parameters = ", ".join(
            f"{p.name} {p.default}{'' if p.unit in ('', '1') else ' ' + p.unit}" for p in m.parameters
        )
        needs = ", ".join([*m.consumes, *(f"({name})" for name in m.optional)])
        table.add_row(m.stage, m.name + star, needs, parameters, m.source)
    Console().print(table)
    click.echo("* the default; names in brackets are used when they are there")


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
