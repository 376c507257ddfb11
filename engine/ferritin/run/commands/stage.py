"""`ferritin stage`: one stage alone, from files to files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ferritin.run import config
from ferritin.run.options import SeveralValues, named_files


@click.command(cls=SeveralValues)
@click.argument("stage")
@click.option("--method", help="Method of the stage; see `ferritin methods STAGE`. Default: the stage's default.")
@click.option(
    "--in",
    "inputs",
    multiple=True,
    metavar="ARTIFACT=FILE",
    required=True,
    help="NIfTI file of an artifact, for example local_field=f.nii.gz (Hz). magnitude= and phase= (rad) make echoes, "
    "a single volume one echo. All files lie on one grid. Repeat local_field=, mask= and magnitude= for each "
    "orientation of the stage orientations.",
)
@click.option("--te-ms", type=float, multiple=True, help="Echo times [ms], several after one option.")
@click.option("--b0", type=float, help="Field strength [T].")
@click.option("--noise-sd", type=float, help="Noise sd of the echoes' real and imaginary part, when known.")
@click.option("--phase-scaling", help="Unit of phase=: rad, header, 4096 (siemens), 0..4095, mrad, degrees.")
@click.option(
    "--set", "assignments", multiple=True, metavar="PARAMETER=VALUE", help="A parameter of the method; repeatable."
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for <artifact>.nii.gz.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done and what it cost as JSON.")
def command(stage, method, inputs, te_ms, b0, noise_sd, phase_scaling, assignments, device, out, as_json) -> None:
    """Run one STAGE on files and write OUT/<artifact>.nii.gz for all that it produces."""
    from ferritin.run.progress import Progress
    from ferritin.run.stage import run_stage

    texts = [a if a.partition("=")[0].startswith(stage + ".") else f"{stage}.{a}" for a in assignments]
    settings = config.parse([*([f"{stage}.method={method}"] if method else []), *texts])
    info = run_stage(
        stage,
        named_files(inputs),
        out,
        settings=settings,
        te_ms=te_ms,
        b0=b0,
        noise_sd=noise_sd,
        phase_scaling=phase_scaling,
        device=device,
        progress=Progress.silent() if as_json else Progress.for_terminal(),
    )
    if as_json:
        click.echo(json.dumps(info, indent=1, default=str))
    else:
        click.echo(
            f"{info['stage']} ({info['method']}): {info['seconds']:.2f} s, {info['fft_count']:.0f} FFTs, "
            f"peak {info['peak_bytes'] / 2**20:.0f} MiB, {info['stopped_by']}; wrote {', '.join(info['files'])}"
        )
