"""The benchmark's page: tables that sort, accuracy against time, sweeps, difference pictures; one file, no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ferritin import report
from ferritin.io.writing import plain, write_text
from ferritin.report.pictures import picture
from ferritin.report.slices import Frame, frame_of
from ferritin.report.windows import Window, nice, window_of
from ferritin.run.bench.dataset import FIELDS, Dataset

TITLES = {
    "field": ("Field mapping", "echoes to total field"),
    "background": ("Background removal", "total field to local field"),
    "dipole": ("Dipole inversion", "local field to susceptibility"),
    "background+dipole": ("Background removal and inversion", "total field to susceptibility"),
    "chain": ("Whole chain", "echoes to susceptibility"),
    "r2star": ("R2*", "decay of the echoes"),
}
PLANES = ("axial", "coronal")
_HERE, _REPORT = Path(__file__).parent, Path(report.__file__).parent
_SENT = (
    "task", "method", "parameters", "dataset", "device", "status", "seconds", "cpu_seconds", "peak_bytes",
    "bytes_before", "fft_count", "iterations", "stopped_by", "nrmse", "nrmse_detrended", "nrmse_valid",
    "nrmse_detrended_valid", "valid_share", "nrmse_tissue", "nrmse_blood", "nrmse_dgm", "slope_deviation",
    "calcification_moment_deviation", "calcification_streak", "xsim_uniform5", "xsim_gauss7", "hfen", "correlation",
    "rmse", "median_error", "source", "key", "external",
)  # fmt: skip


def write_page(path: Path, rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write the page of some rows; `out` is the benchmark's folder, where rows/KEY.npy holds the maps."""
    tasks = [task for task in TITLES if any(row["task"] == task for row in rows)]
    content = {
        "rows": [{name: row.get(name) for name in _SENT} | {"defaults": _defaults(row)} for row in rows],
        "tasks": {task: TITLES[task] for task in tasks},
        "pictures": _pictures(rows, out),
    }
    data = json.dumps(plain(content), allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    style = (_REPORT / "page.css").read_text() + (_HERE / "page.css").read_text()
    script = (_HERE / "page.js").read_text()
    write_text(
        path,
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<link rel="icon" href="data:,">'
        f"<title>Benchmark · ferritin</title><style>{style}</style></head><body><main>{_top(rows)}"
        '<div id="choices" class="choices"></div><div id="tasks"></div>'
        "<noscript><p>The drawings need JavaScript; results.csv beside this page holds the numbers.</p></noscript>"
        f'</main><script id="data" type="application/json">{data}</script><script>{script}</script></body></html>\n',
    )


def _top(rows: Sequence[Mapping[str, Any]]) -> str:
    def each(name: str) -> str:
        return ", ".join(dict.fromkeys(str(row[name]) for row in rows if row.get(name)))

    done = sum(row["status"] == "ok" for row in rows)
    facts = [
        f"{done} of {len(rows)} cases", f"ferritin {each('version')} {each('commit')}", each("processor"),
        f"{each('cores')} core" + "s" * (each("cores") != "1"), each("date"),
    ]  # fmt: skip
    items = "".join(f"<li>{escape(f)}</li>" for f in facts if f.strip())
    return f'<header class="top"><p class="brand">ferritin</p><h1>Benchmark</h1><ul class="facts">{items}</ul></header>'


def _defaults(row: Mapping[str, Any]) -> dict[str, float]:
    """Numbers that the last stage used where nothing was set: where its dot stands among the varied ones."""
    if row["parameters"] or not row.get("used"):
        return {}
    *_, last = row["used"].values()
    return {name: value for name, value in last.items() if type(value) in (int, float)}


def _pictures(rows: Iterable[Mapping[str, Any]], out: Path) -> dict[str, Any]:
    """Result and difference of each method's default, and the truth of each dataset, as data URIs."""
    shown: dict[str, Any] = {"truth": {}, "result": {}}
    for row in rows:
        file = out / "rows" / f"{row['key']}.npy"
        if row["status"] != "ok" or row["parameters"] or not file.exists() or not Path(row["data_folder"]).is_dir():
            continue  # a row that is kept may be of data that is no longer there
        view = _view(row["data_folder"], row["target"])
        name = f"{row['dataset']}/{row['target']}"
        if name not in shown["truth"]:
            shown["truth"][name] = {"pictures": view.truth(), "scales": view.scales()}
        shown["result"][row["key"]] = view.result(np.load(file))
    return shown


@cache
def _view(folder: str, target: str) -> _View:
    return _View(Dataset(folder), target)


class _View:
    """Slices through the deep grey matter of one dataset, in a fixed window."""

    def __init__(self, data: Dataset, target: str) -> None:
        self.mask, self.target = data.mask, target
        self._true = data.truth(target)
        self.unit = "1/s" if target == "r2star" else "ppm"
        window = window_of(target, data.scan(), self._true[self.mask])
        if target in FIELDS:  # the report's window is in Hz
            window = Window(window.low / data.hz_per_ppm, window.high / data.hz_per_ppm, "ppm", window.colours)
        self._window = window
        half = nice((window.high - window.low) / 6)
        self._difference = Window(-half, half, self.unit, "diverging")
        self._frame = frame_of(self.mask.shape, data.affine, self.mask, margin_mm=2)
        self._slices = _through(self._frame, self.mask, data.labels)

    def scales(self) -> list[dict[str, str]]:
        """The colours of the maps and of the differences, and what their ends stand for."""
        ramp = np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(4, 0)
        return [
            {
                "of": name,
                "ends": [f"{window.low:.3g}".replace("-", "−"), f"{window.high:.3g} {self.unit}"],
                "picture": picture(window.low + ramp * (window.high - window.low), window, (64, 4)),
            }
            for name, window in (("map", self._window), (_difference_name(self.target), self._difference))
        ]

    def truth(self) -> list[str]:
        """Pictures of the truth, a plane each."""
        return self._drawn(self._true, self._window, self.mask)

    def result(self, values: np.ndarray) -> list[str]:
        """Pictures of the map, then of its difference from the truth, whose median is taken off except for rates."""
        there = self.mask & np.isfinite(values) & (values != 0)
        difference = np.where(there, values - self._true, 0)
        if self.target != "r2star" and there.any():
            offset = np.median(difference[there])
            values, difference = values - offset, difference - offset
        return self._drawn(values, self._window, there) + self._drawn(difference, self._difference, there)

    def _drawn(self, volume: np.ndarray, window: Window, where: np.ndarray) -> list[str]:
        frame = self._frame
        return [
            picture(frame.picture(volume, plane, i), window, frame.size_mm(plane), frame.picture(where, plane, i) * 1.0)
            for plane, i in self._slices.items()
        ]


def _difference_name(target: str) -> str:
    return "difference" if target == "r2star" else "difference, its median taken off"


def _through(frame: Frame, mask: np.ndarray, labels: np.ndarray | None) -> dict[str, int]:
    """Slices through the pallidum where it is labelled, else through the mask's middle."""
    where = frame.ras(mask & (labels == 2)) if labels is not None and (labels == 2).any() else frame.ras(mask)
    middle = [int(np.median(i)) for i in np.nonzero(where)]
    return {"axial": middle[2], "coronal": middle[1]}
