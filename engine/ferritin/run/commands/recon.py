"""`ferritin recon`: from a raw file or a folder of images to maps, sidecars and a report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ferritin.run import config
from ferritin.run.options import SeveralValues


@click.command(cls=SeveralValues)
@click.argument("input", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the BIDS derivatives.")
@click.option("--subject", default=None, help="Subject label; taken from the input's name, or 01.")
@click.option("--mask", type=click.Path(path_type=Path), help="NIfTI mask that takes the place of the mask stage.")
@click.option("--polarity", metavar="+-+-", help="Readout direction per echo, when the header does not say it.")
@click.option(
    "--phase-sign", type=click.Choice(["+", "-"]), default="+", help="'-' for data whose phase falls with the field."
)
@click.option(
    "--phase-scaling",
    help="Unit of NIfTI phase values: rad, header, 4096 (siemens), 0..4095, mrad, degrees, or the number that is pi.",
)
@click.option(
    "--te-ms", type=float, multiple=True, help="Echo times [ms], all after one option, when the header has none."
)
@click.option("--b0", type=float, help="Field strength [T], when the header has none.")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file; see `ferritin config`.")
@click.option("--set", "assignments", multiple=True, metavar="STAGE.PARAMETER=VALUE", help="One choice; repeatable.")
@click.option(
    "--start-from",
    metavar="NAME",
    help="Compute this stage or artifact and what follows anew, take what precedes it from OUT.",
)
@click.option("--until", metavar="NAME", help="Compute only what this stage or artifact needs.")
@click.option("--separate", is_flag=True, help="Tell paramagnetic from diamagnetic sources as well (stage sources).")
@click.option("--keep-echoes", is_flag=True, help="Write the combined magnitude and phase of every echo as well.")
@click.option("--memory", metavar="SIZE", help="Refuse a run that would need more, for example 6GiB.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path),
    help="Folder for the temporary file of a raw scan (default: TMPDIR, or /var/tmp).",
)
@click.option("--quiet", is_flag=True, help="Print nothing but the summary.")
def command(input, out, assignments, config_file, scratch, quiet, **options) -> None:
    """Reconstruct INPUT (an ISMRMRD .h5 file, a BIDS dataset or subject folder, or a folder of magnitude and phase
    NIfTI with BIDS names and sidecars) into OUT."""
    from ferritin.run.progress import Progress
    from ferritin.run.recon import Options, recon

    settings = config.merge(config.load(config_file) if config_file else {}, config.parse(assignments))
    if scratch is not None:
        settings.setdefault("image", {})["scratch"] = str(scratch)
    progress = Progress.silent() if quiet else Progress.for_terminal()
    result = recon(input, out, Options(settings=settings, **options), progress)
    click.echo(result.summary())
    sys.exit(0 if result.passed else 3)
