"""Truth, result and difference side by side, as one picture: for the benchmark and the README."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ferritin.errors import InputError
from ferritin.io.nifti import load_volume
from ferritin.io.writing import atomic
from ferritin.report.slices import Frame, frame_of
from ferritin.report.windows import TITLES, Window, nice, palette, window_of
from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS

SHOWN = ("total_field", "r2star", "local_field", "chi")
PLANES = ("axial", "coronal")


@dataclass(frozen=True, eq=False)
class Row:
    """One quantity: (x, y, z) truth and result in the window's unit."""

    title: str
    truth: np.ndarray
    result: np.ndarray
    window: Window


def comparison(truth: str | Path, anat: str | Path, path: str | Path) -> None:
    """Draw the maps of a reconstruction beside the truth of its simulation.

    Parameters
    ----------
    truth : folder with chi [ppm], r2star [1/s], total_field and local_field [ppm], mask, and scan.json
    anat : folder of BIDS derivatives; maps that it lacks are left out
    path : PNG to write. Of the fields and chi the median difference is taken off: their zero is a convention.

    Raises
    ------
    InputError
        None of the maps is there.
    """
    truth, anat = Path(truth), Path(anat)
    said = json.loads((truth / "scan.json").read_text())
    mask, affine = load_volume(truth / "mask.nii.gz")
    mask = mask > 0.5
    scan = Scan([1e-3 * t for t in said["te_ms"]], said["b0_t"], affine, mask.shape)
    rows = []
    for name in SHOWN:
        found = [p for p in anat.glob("sub-*.nii.gz") if p.name.partition("_")[2] == f"{ARTIFACTS[name].file}.nii.gz"]
        if found and (truth / f"{name}.nii.gz").exists():
            scale = said["hz_per_ppm"] if name.endswith("field") else 1.0
            true, result = scale * load_volume(truth / f"{name}.nii.gz")[0], load_volume(found[0])[0]
            if name != "r2star":
                made = mask & (result != 0)
                result = np.where(made, result - np.median((result - true)[made]), 0)
            rows.append(Row(TITLES[name], true, result, window_of(name, scan, true[mask])))
    if not rows:
        raise InputError(f"{anat}: none of the maps {', '.join(SHOWN)} is there to compare with {truth}")
    draw(rows, path, mask, affine)


def draw(rows: Sequence[Row], path: str | Path, mask: np.ndarray, affine: np.ndarray, *, where: tuple = ()) -> None:
    """Draw rows of truth, result and difference in an axial and a coronal slice.

    where : voxel whose slices are shown; by default the middle of what the last row's truth has brightest.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frame = frame_of(mask.shape, affine, mask, margin_mm=2)
    indices = _indices(frame, where or _brightest(rows[-1].truth, mask))
    widths = [frame.size_mm(plane)[0] for plane in PLANES for _ in range(3)]
    height = len(rows) * max(frame.size_mm(plane)[1] for plane in PLANES)
    figure = Figure(figsize=(13, 13 * height / sum(widths) + 0.5), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 6, squeeze=False, width_ratios=widths)
    for line, row in zip(axes, rows):
        _draw_row(figure, line, row, frame, mask, indices)
    for axis, word in zip(axes[0], ("truth", "result", "difference") * 2):
        axis.set_title(word, color="white", fontsize=11)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    with atomic(path) as stream:
        stream.write(data.getvalue())


def _draw_row(figure, line, row: Row, frame: Frame, mask: np.ndarray, indices: dict[str, int]) -> None:
    """Six pictures and their colour bar; the difference is result minus truth, where there is a result."""
    from matplotlib.colors import ListedColormap

    both = mask & (row.result != 0)
    difference = np.where(both, row.result - row.truth, 0)
    half = nice((row.window.high - row.window.low) / 6)
    centred = Window(-half, half, row.window.unit, "diverging")
    shown = ((row.truth, mask, row.window), (row.result, both, row.window), (difference, both, centred))
    for axis, (plane, (volume, where, window)) in zip(line, ((p, s) for p in PLANES for s in shown)):
        outside = ~frame.picture(where, plane, indices[plane])
        width, up = frame.size_mm(plane)
        image = axis.imshow(
            np.ma.masked_array(frame.picture(volume, plane, indices[plane]), outside),
            cmap=ListedColormap(palette(window.colours) / 255),
            vmin=window.low,
            vmax=window.high,
            extent=(0, width, 0, up),
            interpolation="nearest",
        )
        axis.set(xticks=[], yticks=[], facecolor="black")
        axis.spines[:].set_visible(False)
        if window is centred and plane == PLANES[-1]:
            _bar(figure, image, axis, f"difference [{window.unit}]")
        elif plane == PLANES[0] and volume is row.truth:
            axis.set_ylabel(row.title, color="white", fontsize=12)
            _bar(figure, image, axis, f"[{window.unit}]", location="left")


def _bar(figure, image, axis, label: str, location: str = "right") -> None:
    bar = figure.colorbar(image, ax=axis, location=location, shrink=0.8, aspect=30, pad=0.02)
    bar.set_label(label, color="white", fontsize=9)
    bar.ax.tick_params(colors="white", labelsize=8)
    bar.outline.set_visible(False)


def _brightest(volume: np.ndarray, mask: np.ndarray) -> tuple[int, ...]:
    """The middle of the brightest hundredth of a map inside the mask."""
    bright = mask & (volume > np.percentile(volume[mask], 99))
    return tuple(int(np.median(i)) for i in np.nonzero(bright))


def _indices(frame: Frame, voxel: tuple[int, ...]) -> dict[str, int]:
    """Slice of each plane through a voxel of the array."""
    ras = [0, 0, 0]
    for i, (axis, flip) in zip(voxel, frame.orientation.astype(int)):
        ras[axis] = i if flip > 0 else frame.shape[axis] - 1 - i
    return {"sagittal": ras[0], "coronal": ras[1], "axial": ras[2]}
