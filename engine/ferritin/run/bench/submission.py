"""The engine as a submission to QSM-CI: read the mounted /input, run a task, write /output.

python -m ferritin.run.bench.submission --task dipole --set dipole.method=tv /input /output
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from ferritin.io.writing import write_nifti
from ferritin.run.bench.case import CONTRACT, TASKS
from ferritin.run.bench.dataset import FIELDS, FILES, Dataset
from ferritin.run.config import parse
from ferritin.run.pipeline import reconstruct


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--task", type=click.Choice([*CONTRACT]), required=True, help="What the submission does.")
@click.option("--set", "settings", multiple=True, metavar="STAGE.PARAMETER=VALUE", help="As of `ferritin recon`.")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
def main(source: Path, out: Path, task: str, settings: tuple[str, ...], device: str) -> None:
    """Run a TASK on the files in SOURCE and write its artifact to OUT, fields in ppm."""
    data, (_, target, names) = Dataset(source), TASKS[task]
    given = {name: value for name in names if (value := data.given(name)) is not None}
    maps = reconstruct(data.scan(**given), targets=(target,), settings=parse(settings), device=device)
    values = maps.artifacts[target]
    out.mkdir(parents=True, exist_ok=True)
    scale = np.float32(1 / data.hz_per_ppm) if target in FIELDS else np.float32(1)
    write_nifti(out / f"{FILES[target]}.nii.gz", values * scale, data.file_affine)


if __name__ == "__main__":
    main()
