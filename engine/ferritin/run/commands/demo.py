"""`ferritin demo`: simulate a raw 7 T head scan, reconstruct it, and compare with the truth."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default="demo")
@click.option("--voxel", default=2.0, help="Voxel size [mm].")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
def command(folder: Path, voxel: float, device: str) -> None:
    """Simulate a raw head scan with known truth into FOLDER, reconstruct it, and print how close the maps are."""
    from ferritin.run.demo import demo

    accuracy, outcome = demo(folder, voxel=voxel, device=device)
    click.echo(accuracy)
    click.echo(outcome.summary())
    sys.exit(0 if outcome.passed else 3)
