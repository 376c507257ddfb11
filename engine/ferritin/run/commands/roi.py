"""`ferritin roi`: what a map holds in each region of a label image."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import click

from ferritin.errors import FormatError


@click.command()
@click.argument("map", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("--names", type=click.Path(path_type=Path), help="Table with the columns index and name, as BIDS has it.")
@click.option("--mask", type=click.Path(path_type=Path), help="Count voxels inside this mask alone.")
@click.option("--json", "as_json", is_flag=True, help="JSON in place of CSV.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File for the table; printed when not given.")
def command(map, labels, names, mask, as_json, out) -> None:
    """Mean, sd, median, voxels and volume of MAP in every region of LABELS, a label image on the same grid."""
    import numpy as np

    from ferritin.io.nifti import load_volume
    from ferritin.io.writing import plain, write_text
    from ferritin.iron.regions import region_table

    values, affine = load_volume(map)
    regions, _ = load_volume(labels)
    inside = None if mask is None else load_volume(mask)[0] > 0
    voxel_mm = tuple(np.linalg.norm(affine[:3, :3], axis=0))
    rows = region_table(values, regions, voxel_mm, {} if names is None else read_names(names), inside)
    text = json.dumps(plain(rows), indent=1) + "\n" if as_json else _as_csv(rows)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_text(out, text)


def read_names(path: Path) -> dict[int, str]:
    """Names by label from a tab- or comma-separated table with a header."""
    try:
        text = path.read_text()
        dialect = csv.excel_tab if "\t" in text else csv.excel
        return {int(row["index"]): row["name"] for row in csv.DictReader(io.StringIO(text), dialect=dialect)}
    except (OSError, KeyError, TypeError, ValueError) as why:
        raise FormatError(f"{path} cannot be read as names ({why}); it needs the columns index and name") from None


def _as_csv(rows: list[dict]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return file.getvalue()
