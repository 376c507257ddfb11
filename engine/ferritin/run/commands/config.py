"""`ferritin config`: the configuration that a run would use, as TOML."""

from __future__ import annotations

from pathlib import Path

import click

from ferritin.run import config


@click.command()
@click.option("--defaults", is_flag=True, help="Print the defaults only.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="TOML file to complete with the defaults.")
@click.option("--set", "assignments", multiple=True, metavar="STAGE.PARAMETER=VALUE", help="One choice; repeatable.")
def command(defaults: bool, file: Path | None, assignments: tuple[str, ...]) -> None:
    """Print the complete configuration as TOML; save it and give it to `ferritin recon --config`."""
    chosen = {} if defaults else config.merge(config.load(file) if file else {}, config.parse(assignments))
    click.echo(config.as_toml(chosen))
