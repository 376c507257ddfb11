"""`ferritin simulate`: a digital head, scanned: raw k-space or BIDS images, and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import click

from ferritin.run.options import SeveralValues


class _Acceleration(click.ParamType):
    """2, or 2x2: undersampling along y, or along y and z."""

    name = "R[xR]"

    def convert(self, value, parameter, context):
        if isinstance(value, tuple):
            return value
        try:
            y, _, z = str(value).lower().partition("x")
            return int(y), int(z or 1)
        except ValueError:
            self.fail(f"{value!r} is not an acceleration; expected 2 or 2x2", parameter, context)


class _Simulate(SeveralValues):
    several: ClassVar[tuple[str, ...]] = ("--te-ms", "--voxel")


@click.command(cls=_Simulate)
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--voxel", type=float, multiple=True, default=(2.0,), help="Voxel edges [mm], one or three of them.")
@click.option("--coils", default=4, help="Receive channels of the raw file.")
@click.option("--te-ms", type=float, multiple=True, default=(4.0, 12.0, 20.0, 28.0), help="Echo times [ms].")
@click.option("--tr-ms", default=50.0, help="Repetition time [ms].")
@click.option("--flip", default=15.0, help="Flip angle [degrees].")
@click.option("--b0", default=7.0, help="Field strength [T].")
@click.option("--snr", default=60.0, help="Largest signal of echo 1 in the brain over the noise's sd, coils combined.")
@click.option("--seed", default=1, help="Which head, and which noise.")
@click.option("--oblique", default=0.0, help="Turn the slab about the left-right axis [degrees].")
@click.option("--bipolar", is_flag=True, help="Read even echoes backwards.")
@click.option("--partial-fourier", default=1.0, help="Share of k-space measured along z.")
@click.option("--elliptical", is_flag=True, help="Leave the corners of the ky-kz plane out.")
@click.option("--accel", default="1", type=_Acceleration(), help="Undersampling along y (2), or y and z (2x2).")
@click.option("--calcification/--no-calcification", default=True, help="A calcified lesion in the white matter.")
@click.option("--haemorrhage", is_flag=True, help="An old haemorrhage in the white matter.")
@click.option("--spread", default=0.0, help="Relative spread of the tissues' values between heads.")
@click.option("--fine", type=float, help="Cells that head and field are made of [mm]; about half a voxel if not given.")
@click.option("--format", "format_", type=click.Choice(["raw", "bids", "both"]), default="raw", help="What to write.")
@click.option("--also", multiple=True, help="More scans as NIfTI: mese, vfa, ase, saturation. Repeatable.")
def command(
    out, voxel, coils, te_ms, tr_ms, flip, b0, snr, seed, oblique, bipolar, partial_fourier, elliptical, accel,
    calcification, haemorrhage, spread, fine, format_, also,
) -> None:  # fmt: skip
    """Simulate a multi-echo scan of a digital head into OUT: raw.h5 or a BIDS dataset, and truth/ on the same grid.

    OUT is new, empty, or holds an earlier simulation, which is replaced.
    """
    from ferritin.phantom import Protocol, simulate
    from ferritin.phantom.simulate import parts
    from ferritin.run.progress import Progress

    if len(voxel) not in (1, 3):
        raise click.BadParameter(f"{len(voxel)} voxel edges; expected one or three", param_hint="--voxel")
    protocol = Protocol(
        voxel_mm=voxel * (3 // len(voxel)), te_ms=te_ms, tr_ms=tr_ms, flip_deg=flip, b0_t=b0, coils=coils, snr=snr,
        tilt_deg=oblique, bipolar=bipolar, partial_fourier=partial_fourier, elliptical=elliptical, accel=accel,
        fine_mm=fine,
    )  # fmt: skip
    head = {"calcification": calcification, "haemorrhage": haemorrhage, "spread": spread}
    with Progress.for_terminal().stages(parts(format_, also)) as told:
        scanner = simulate(out, protocol, seed=seed, format=format_, also=also, stage=told.stage, **head)
    shape = " x ".join(map(str, scanner.images.shape))
    click.echo(f"{out}: {shape} voxels, {len(te_ms)} echoes, {coils} coils, brain {int(scanner.mask.sum())} voxels")
