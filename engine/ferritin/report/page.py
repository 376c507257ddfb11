"""The report: one HTML page that needs nothing else, readable on a phone and by the light that the reader prefers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ferritin.io.sidecar import versions
from ferritin.io.writing import write_text
from ferritin.report import charts
from ferritin.report.layers import Layer, layers
from ferritin.report.pictures import outline, picture
from ferritin.report.slices import LETTERS, Frame, frame_of, obliqueness_deg
from ferritin.report.tables import acquisition, by_stage, checks, findings, missing, provenance, stage_table
from ferritin.report.verdicts import Verdict, worst

SLICES = 6
_HERE = Path(__file__).parent


def write_report(path: str | Path, maps: Any, verdicts: Sequence[Verdict], *, subject: str = "") -> None:
    """Write the report of a run.

    Parameters
    ----------
    path : file to write
    maps : has scan, artifacts (name to host array), stages (of StageInfo) and missing (artifact to reason)
    verdicts : from `judge`
    subject : label shown as the title; from the file's name (sub-01_report.html) when not given.
    """
    subject = subject or Path(path).name.partition("_")[0]
    scan, shown = maps.scan, list(layers(maps))
    masks = {n: maps.artifacts[n] for n in ("mask", "field_mask", "local_mask") if maps.artifacts.get(n) is not None}
    frame = frame_of(scan.shape, scan.affine, masks.get("mask"))
    body = [
        _header(subject, maps, verdicts),
        _contents(shown, frame),
        _section("checks", "Checks", checks(verdicts)),
        _section("findings", "Findings", findings(maps)),
        _section("missing", "Not made", missing(maps.missing)),
        _maps(shown, frame, scan),
        _section("stages", "How it was made", stage_table(maps.stages, verdicts)),
        _section("provenance", "Provenance", provenance(scan, versions())),
    ]
    write_text(path, _document(f"{subject} · ferritin", "".join(body), _outlines(masks, frame, shown)))


def _document(title: str, body: str, drawings: str) -> str:
    style, script = ((_HERE / name).read_text() for name in ("page.css", "page.js"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{style}</style></head>'
        f'<body>{drawings}<main>{body}</main><dialog id="viewer"></dialog><script>{script}</script></body></html>\n'
    )


def _section(ident: str, title: str, content: str) -> str:
    return f'<section id="{ident}"><h2>{title}</h2>{content}</section>' if content else ""


def _header(subject: str, maps: Any, verdicts: Sequence[Verdict]) -> str:
    """Who, what was measured, and the verdict in a word."""
    count = {level: sum(v.level == level for v in verdicts) for level in ("fail", "warn")}
    words = {
        "fail": f"{count['fail']} of {len(verdicts)} checks failed",
        "warn": f"{count['warn']} of {len(verdicts)} checks need a look",
        "ok": f"all {len(verdicts)} checks passed" if len(verdicts) > 1 else "the one check passed",
    }
    level = worst(verdicts)
    badge = f'<a class="badge {level}" href="#checks">{words[level]}</a>' if level else ""
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in acquisition(maps.scan))
    stages = by_stage(maps.stages, verdicts)
    return (
        f'<header class="top"><p class="brand">ferritin {escape(versions()["ferritin"])}</p>'
        f'<h1>{escape(subject)}</h1>{badge}<ul class="facts">{facts}</ul>{stages}</header>'
    )


def _contents(shown: Sequence[Layer], frame: Frame) -> str:
    """One slice through every map, all at the same level, as a table of contents."""
    plane = frame.planes()[0]
    indices = frame.indices(plane, SLICES)
    index = indices[len(indices) // 2]
    links = "".join(
        f'<a href="#{layer.name}"><span class="shot">{_image(layer, frame, plane, index)}</span>'
        f"<span>{escape(layer.title)}</span></a>"
        for layer in shown
    )
    return f'<nav class="contents" aria-label="Maps">{links}</nav>' if links else ""


def _maps(shown: Sequence[Layer], frame: Frame, scan: Any) -> str:
    if not shown:
        return ""
    tilt = obliqueness_deg(scan.affine)
    tilted = (
        f" The slices follow the scan, tilted by {tilt:.0f}° against the nearest anatomical axes." if tilt > 1 else ""
    )
    note = (
        '<p class="note">Radiological display: the patient’s right is on the left of axial and coronal pictures; '
        f"sagittal pictures look to the left.{tilted} Touch a picture to enlarge it; "
        "the arrow keys change slice and map.</p>"
        '<label class="switch"><input type="checkbox" id="outlines" checked> outline of the mask</label>'
    )
    return _section("maps", "Maps", note + "".join(_map(layer, frame) for layer in shown))


def _map(layer: Layer, frame: Frame) -> str:
    unit = layer.window.unit
    facts = "".join(f"<dt>{n}</dt><dd>{escape(v)}</dd>" for n, v in charts.summary(layer.sample))
    strips = "".join(_strip(layer, frame, plane) for plane in frame.planes())
    return (
        f'<article class="map" id="{layer.name}"><header><div><h3>{escape(layer.title)} <small>{escape(unit)}</small>'
        f"</h3><p>{escape(layer.meaning)}</p><dl>{facts}</dl></div>"
        f"{charts.scale(layer.sample, layer.window, unit)}</header>{strips}</article>"
    )


def _strip(layer: Layer, frame: Frame, plane: str) -> str:
    indices = frame.indices(plane, SLICES)
    tiles = "".join(_tile(layer, frame, plane, index) for index in indices)
    rows = f'<h4>{plane}</h4><div class="tiles n{len(indices)}">{tiles}</div>'
    return f'<div class="strip" role="group" aria-label="{plane}">{rows}</div>'


def _tile(layer: Layer, frame: Frame, plane: str, index: int) -> str:
    """A picture with the mask's outline, its orientation letters, and where it lies."""
    width, height = frame.size_mm(plane, whole=layer.whole)
    box = " ".join(map(str, frame.view_box(plane, whole=layer.whole)))
    axis = {"axial": "z", "coronal": "y", "sagittal": "x"}[plane]
    place = f"{axis} {frame.position_mm(plane, index):.0f} mm".replace("-", "−")
    left, right, top, bottom = LETTERS[plane]
    return (
        f'<button class="tile" data-map="{layer.name}" data-slice="{plane}-{index}" '
        f'data-title="{escape(layer.title)} · {plane} · {place}" style="--ratio:{width / height:.5g}">'
        f"{_image(layer, frame, plane, index, f'{layer.title}, {plane} slice at {place}')}"
        f'<svg viewBox="{box}" preserveAspectRatio="none"><use href="#{layer.outlined}-{plane}-{index}"/></svg>'
        f'<i class="l">{left}</i><i class="r">{right}</i><i class="t">{top}</i><i class="b">{bottom}</i>'
        f'<span class="place">{place}</span></button>'
    )


def _image(layer: Layer, frame: Frame, plane: str, index: int, text: str = "") -> str:
    values = layer.slice_of(frame.picture(layer.volume, plane, index, whole=layer.whole))
    mask = None if layer.mask is None else frame.picture(layer.mask, plane, index, whole=layer.whole)
    data = picture(values, layer.window, frame.size_mm(plane, whole=layer.whole), mask)
    return f'<img src="{data}" alt="{escape(text)}" decoding="async">'


def _outlines(masks: dict[str, Any], frame: Frame, shown: Iterable[Layer]) -> str:
    """The outlines that the tiles refer to, drawn once for all maps."""
    wanted = {layer.outlined for layer in shown} & set(masks)
    paths = "".join(
        f'<path id="{name}-{plane}-{index}" vector-effect="non-scaling-stroke" '
        f'd="{outline(frame.picture(masks[name], plane, index, whole=True))}"/>'
        for name in sorted(wanted)
        for plane in frame.planes()
        for index in frame.indices(plane, SLICES)
    )
    return f'<svg class="drawings" aria-hidden="true"><defs>{paths}</defs></svg>' if paths else ""
