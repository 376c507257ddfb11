"""The words of the report: the scan in short, checks, findings, what is missing, stages with their cost, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ferritin.report.slices import obliqueness_deg
from ferritin.report.verdicts import LEVELS, Verdict, worst
from ferritin.scan import Scan

_MARKS = {"ok": "✓", "warn": "!", "fail": "✕", None: "–"}


def acquisition(scan: Scan) -> list[str]:
    """The scan in a few short facts."""
    out = [f"{scan.b0_t:.3g} T"] if scan.b0_t else []
    te = [1e3 * t for t in scan.te_s]
    if te:
        times = f"{te[0]:.3g}–{te[-1]:.3g}" if len(te) > 1 else f"{te[0]:.3g}"
        out.append(f"{len(te)} echo{'es' if len(te) > 1 else ''}, {times} ms")
    out.append(" × ".join(f"{v:.3g}" for v in scan.voxel_mm) + " mm")
    out.append(" × ".join(str(n) for n in scan.shape) + " voxels")
    tilt = obliqueness_deg(scan.affine)
    if tilt > 0.5:
        out.append(f"oblique, {tilt:.0f}°")
    if -1 in scan.polarity:
        out.append("bipolar readout")
    return out


def by_stage(stages: Sequence[Any], verdicts: Sequence[Verdict]) -> str:
    """The worst verdict of every stage, in a row."""
    levels = {info.stage: worst(v for v in verdicts if v.stage == info.stage) for info in stages}
    chips = "".join(f"<li>{_mark(level)} {escape(stage)}</li>" for stage, level in levels.items())
    return f'<ul class="chips">{chips}</ul>' if chips else ""


def checks(verdicts: Sequence[Verdict]) -> str:
    """The verdicts: those that need eyes in sight, the worst first; those passed folded away."""
    ordered = sorted(verdicts, key=lambda v: -LEVELS.index(v.level))
    wanted = "".join(_check(v) for v in ordered if v.level != "ok")
    passed = [_check(v) for v in ordered if v.level == "ok"]
    out = f'<ul class="checks">{wanted}</ul>' if wanted else ""
    if passed:
        out += f'<details><summary>{len(passed)} passed</summary><ul class="checks">{"".join(passed)}</ul></details>'
    return out


def _check(v: Verdict) -> str:
    expected = f'<p class="expected">expected {escape(v.expected)}</p>' if v.expected else ""
    words = f"<h3>{escape(v.name)}</h3><p>{escape(v.message)}</p>{expected}"
    return f'<li class="{v.level}">{_mark(v.level)}<div>{words}</div></li>'


def _mark(level: str | None) -> str:
    """A sign that can be told without its colour."""
    return f'<b class="mark {level or "none"}" role="img" aria-label="{level or "not checked"}">{_MARKS[level]}</b>'


def findings(maps: Any) -> str:
    """What the reader and the methods have noticed."""
    items = [
        f'<li class="{escape(f.level)}"><b>{escape(f.problem)}</b> <span>{escape(f.repair)}</span></li>'
        for f in maps.scan.findings
    ]
    items += [
        f"<li><b>{escape(info.stage)}</b> <span>{escape(note)}</span></li>"
        for info in maps.stages
        for note in info.record.notes
    ]
    return f'<ul class="findings">{"".join(items)}</ul>' if items else ""


def missing(reasons: Mapping[str, str]) -> str:
    """The maps that were asked for and cannot be had, with the reason; maps of one reason stand together."""
    names: dict[str, list[str]] = {}
    for name, why in reasons.items():
        names.setdefault(why, []).append(name.replace("_", " "))
    items = "".join(f"<li><b>{escape(', '.join(n))}</b> <span>{escape(why)}</span></li>" for why, n in names.items())
    return f'<ul class="findings">{items}</ul>' if items else ""


def stage_table(stages: Sequence[Any], verdicts: Sequence[Verdict]) -> str:
    """One row a stage: method, parameters, cost, how it ended."""
    if not stages:
        return ""
    total = sum(info.seconds for info in stages)
    longest = max((info.seconds for info in stages), default=0) or 1.0
    rows = "".join(_stage_row(info, longest, [v for v in verdicts if v.stage == info.stage]) for info in stages)
    peak = max((info.peak_bytes for info in stages), default=0)
    heads = "".join(f"<th>{h}</th>" for h in ("", "stage", "method", "time", "memory", "FFTs", "ended by"))
    said = f"{total:.1f} s in the methods" + (f", at most {_bytes(peak)} of memory" if peak else "")
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide">{table}</div><p class="note">{said}.</p>'


def _stage_row(info: Any, longest: float, verdicts: Sequence[Verdict]) -> str:
    level = worst(verdicts)
    settings = ", ".join(f"{n} = {_number(v)}" for n, v in info.parameters.items() if v is not None)
    time = "from an earlier run" if info.reused else f"{info.seconds:.2f} s"
    width = 0 if info.reused else 100 * info.seconds / longest
    cells = (
        ("", _mark(level)),
        ("stage", f"<b>{escape(info.stage)}</b>"),
        ("method", f"{escape(info.method)}<small>{escape(settings)}</small><small>{escape(info.source)}</small>"),
        ("time", f'{time}<span class="length"><span style="width:{width:.3g}%"></span></span>'),
        ("memory", _bytes(info.peak_bytes) if info.peak_bytes else "–"),
        ("FFTs", f"{info.fft_count:.4g}" if info.fft_count else "–"),
        ("ended by", escape(_ending(info.record))),
    )
    return "<tr>" + "".join(f'<td data-name="{name}">{cell}</td>' for name, cell in cells) + "</tr>"


def _ending(record: Any) -> str:
    """Why a method stopped, after how many iterations, and how far it came."""
    out = record.stopped_by
    if record.iterations:
        limit = out == "iterations"
        out = f"the limit of {record.iterations} iterations" if limit else f"{out} after {record.iterations}"
    return out if record.residual is None else f"{out}, residual {record.residual:.2g}"


def provenance(scan: Scan, versions: Mapping[str, str]) -> str:
    """Everything known of the input and of what has read it."""
    said = {k: _number(v) for k, v in scan.provenance.items()}
    said |= {
        "echo times": ", ".join(f"{1e3 * t:.4g}" for t in scan.te_s) + " ms" if scan.te_s else "none",
        "field strength": f"{scan.b0_t:.4g} T" if scan.b0_t else "not known",
        "proton frequency": f"{1e-6 * scan.f0_hz:.6g} MHz" if scan.f0_hz else "not known",
        "B0 in voxel axes": ", ".join(f"{b:.4f}" for b in scan.b0_dir),
        "affine": "; ".join(", ".join(f"{v:.5g}" for v in row) for row in scan.affine[:3]),
        "versions": ", ".join(f"{n} {v}" for n, v in versions.items()),
    }
    return (
        "<dl>"
        + "".join(f"<dt>{escape(k.replace('_', ' '))}</dt><dd>{escape(v)}</dd>" for k, v in said.items())
        + "</dl>"
    )


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_number(v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_number(v)}" for k, v in value.items())
    return str(value)


def _bytes(n: float) -> str:
    return f"{n / 2**30:.2f} GiB" if n >= 2**30 else f"{n / 2**20:.0f} MiB"
