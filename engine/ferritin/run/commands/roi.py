"""`ferritin roi`: what a map holds in each region of a label image."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ferritin.errors import FormatError, InputError

if TYPE_CHECKING:
    import numpy as np


@click.command()
@click.argument("map", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path))
@click.option("--names", type=click.Path(path_type=Path), help="Table with the columns index and name, as BIDS has it.")
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    help="Count the voxels above 0.5 in this file, on the grid of MAP. Without it, voxels that are exactly 0 in MAP "
    "are left out: that is what maps hold outside their own mask.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON in place of CSV.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File for the table; printed when not given.")
def command(map, labels, names, mask, as_json, out) -> None:
    """Mean, sd, median, voxels and volume of MAP in every region of LABELS, a label image on the same grid.

    Voxels that are not finite in MAP do not count. Where 0 is a value, as in maps of iron or of one kind of source,
    give --mask.
    """
    from ferritin.io.volume import load_map, load_mask
    from ferritin.io.writing import plain
    from ferritin.iron.regions import region_table

    if out is not None:
        _require_place(out, [path for path in (map, labels, names, mask) if path is not None])
    values, grid = load_map(map)
    regions, _ = load_map(labels, grid)
    known = {} if names is None else read_names(names)
    inside, zeros = (values != 0, _zeros(map, values, regions)) if mask is None else (load_mask(mask, grid), 0)
    rows = region_table(values, regions, tuple(grid.voxel_mm), known, inside)
    text = json.dumps(plain(rows), indent=1) + "\n" if as_json else _as_csv(rows)
    if out is None:
        click.echo(text, nl=False)
    else:
        _write(out, text)
    if zeros:
        click.echo(f"{zeros} voxels with a label are exactly 0 in {map} and were left out; see --mask", err=True)


def read_names(path: Path) -> dict[int, str]:
    """Names by label from a tab- or comma-separated table with a header."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte-order mark first
        dialect = csv.excel_tab if "\t" in text else csv.excel
        names = {int(row["index"]): row["name"].strip() for row in csv.DictReader(io.StringIO(text), dialect=dialect)}
        if not names:
            raise ValueError("no row below a header")
    except (OSError, KeyError, TypeError, AttributeError, ValueError, csv.Error) as why:
        raise FormatError(f"{path} cannot be read as names ({why}); it needs the columns index and name") from None
    return names


def _zeros(path: Path, values: np.ndarray, regions: np.ndarray) -> int:
    """How many voxels with a label are exactly 0 in the map. Raises InputError when all of them are."""
    labelled = regions > 0
    zeros = int((values[labelled] == 0).sum())
    if zeros and zeros == labelled.sum():
        raise InputError(f"{path} is 0 in all {zeros} voxels with a label; give another map, or --mask if 0 is a value")
    return zeros


def _require_place(out: Path, inputs: list[Path]) -> None:
    """Raise InputError when the table cannot be written, before any work."""
    from ferritin.run.stage import refuse_overwriting

    if os.path.isdir(out):
        raise InputError(f"{out} is a folder, expected a file for the table; give for example -o {out / 'regions.csv'}")
    if not os.path.isdir(out.parent):
        raise InputError(
            f"{out} cannot be written: {out.parent} is not a folder; make it, or give another file with -o"
        )
    refuse_overwriting([out], inputs)


def _write(out: Path, text: str) -> None:
    from ferritin.io.writing import write_text

    try:
        write_text(out, text)
    except OSError as why:
        raise InputError(f"{out} cannot be written ({why.strerror}); give another file with -o") from why


def _as_csv(rows: list[dict]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return file.getvalue()
