"""`ferritin iron`: a map of brain iron from a map of R2* or susceptibility."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("map", type=click.Path(path_type=Path))
@click.option("--from", "source", type=click.Choice(["r2star", "chi"]), required=True, help="What MAP holds.")
@click.option("--mask", type=click.Path(path_type=Path), required=True, help="Where there is brain.")
@click.option("--b0", type=float, help="Field strength [T]; for R2* with the slope of the literature.")
@click.option(
    "--slope", type=float, help="1/s per mg/kg for R2*, ppb per mg/kg for chi; the literature's if not given."
)
@click.option("--zero", type=float, help="The map's value [1/s or ppm] in tissue without iron.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for iron.nii.gz.")
def command(map, source, mask, b0, slope, zero, out) -> None:
    """Turn MAP (R2* in 1/s, or susceptibility in ppm) into iron [mg/kg of fresh tissue] by a linear calibration."""
    from ferritin.run.stage import run_stage

    chosen = {"slope": slope, {"r2star": "intercept", "chi": "reference"}[source]: zero}
    settings = {"iron": {"method": source} | {name: value for name, value in chosen.items() if value is not None}}
    info = run_stage("iron", {source: map, "mask": mask}, out, settings=settings, b0=b0, device="cpu")
    click.echo("\n".join([*info["notes"], f"wrote {', '.join(info['files'])}"]))
