"""`ferritin evaluate`: how near a map is to the truth."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("recon", type=_FILE)
@click.argument("truth", type=_FILE)
@click.option("--mask", type=_FILE, required=True, help="What is scored: voxels above 0.5.")
@click.option("--labels", type=_FILE, help="Regions with the numbers of the QSM challenge; adds the regions' metrics.")
@click.option("--scale", default=1.0, help="Multiply RECON first, for example to turn a field in Hz into ppm.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, regions included.")
def command(recon: Path, truth: Path, mask: Path, labels: Path | None, scale: float, as_json: bool) -> None:
    """Score the map RECON against TRUTH: challenge metrics, XSIM with both windows, HFEN. Maps in ppm."""
    import json
    import math

    import numpy as np

    from ferritin.errors import ParameterError
    from ferritin.io.volume import load_map, load_mask
    from ferritin.io.writing import plain
    from ferritin.iron.regions import whole_labels
    from ferritin.metrics import evaluate, region_means

    if scale == 0 or not math.isfinite(scale):
        raise ParameterError(f"scale = {scale}, expected a finite number other than 0; 1 leaves the map as it is")
    chi, grid = load_map(recon)
    reference, inside = load_map(truth, grid)[0], load_mask(mask, grid)
    regions = whole_labels(load_map(labels, grid)[0]) if labels else None
    chi *= np.float32(scale)
    scores = evaluate(chi, reference, inside, regions, grid.voxel_mm)
    if as_json:
        out = {"recon": str(recon), "truth": str(truth), "metrics": scores}
        if regions is not None:
            out["regions"] = region_means(np.where(np.isfinite(chi), chi, 0), reference, inside, regions)
        click.echo(json.dumps(plain(out), indent=2, allow_nan=False))
        return
    for name, value in scores.items():
        click.echo(f"{name:32s} {value:10.4f}")
