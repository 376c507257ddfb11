"""`ferritin inspect`: what a raw file or a folder of images holds, without reading samples or voxels."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("input", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--te-ms", type=float, multiple=True, help="Echo time [ms], once per echo, when the header has none.")
@click.option("--b0", type=float, help="Field strength [T], when the header has none.")
def command(input: Path, as_json: bool, te_ms: tuple[float, ...], b0: float | None) -> None:
    """Print what INPUT holds: geometry, timing, lines by kind, and what the reader noticed."""
    from ferritin.io import read_headers

    facts = describe(read_headers(input, te_ms=te_ms or None, b0=b0))
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    findings = facts.pop("findings")
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False, title=str(input), title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), _text(value))
    console = Console()
    console.print(table)
    for f in findings:
        console.print(f"{f['level']}: {f['problem']}; {f['repair']}", markup=False)


def describe(scan: Any) -> dict[str, Any]:
    """Facts of a scan by name, JSON-ready; units in the names."""
    import nibabel

    voxel = [round(v, 4) for v in scan.voxel_mm]
    facts = {
        "format": scan.provenance["format"],
        "matrix": list(scan.shape),
        "voxel_mm": voxel,
        "field_of_view_mm": [round(n * v, 3) for n, v in zip(scan.shape, scan.voxel_mm)],
        "echoes": scan.n_echoes,
        "echo_times_ms": [round(1e3 * t, 4) for t in scan.te_s],
        "field_strength_t": scan.b0_t,
        "proton_frequency_mhz": round(1e-6 * scan.f0_hz, 6),
        "orientation": "".join(nibabel.aff2axcodes(scan.affine)),
        "oblique_degrees": round(math.degrees(math.acos(min(1.0, max(map(abs, scan.b0_dir))))), 2),
        "b0_direction": [round(b, 5) for b in scan.b0_dir],
        "affine": scan.affine.round(6).tolist(),
        "readout_polarity": "".join("+-"[p < 0] for p in scan.polarity),
    }
    if "raw" in scan.data:
        facts |= _describe_raw(scan.data["raw"])
    facts["provenance"] = {k: v for k, v in scan.provenance.items() if k != "format"}
    facts["findings"] = [{"level": f.level, "problem": f.problem, "repair": f.repair} for f in scan.findings]
    return facts


def _describe_raw(raw: Any) -> dict[str, Any]:
    import numpy as np

    from ferritin.io.lines import KINDS, NOISE

    table, imaging = raw.table, raw.imaging
    here, noise = table[imaging.rows], table[table["kind"] == NOISE]
    kinds, counts = np.unique(table["kind"], return_counts=True)
    encoded, recon = raw.encoding.encoded, raw.encoding.recon
    ahead = np.where(here["reversed"], here["samples"] - 1 - here["center"], here["center"])
    return {
        "coils": raw.n_coils,
        "acquisitions": len(table),
        "lines": {KINDS[k]: int(n) for k, n in zip(kinds, counts)},
        "encoded_matrix": list(encoded.matrix),
        "slices": imaging.n_slices,
        "averages": imaging.n_averages,
        "oversampling": [round(e / r, 4) for e, r in zip(encoded.fov_mm, recon.fov_mm)],
        "samples_per_line": sorted({int(n) for n in here["samples"]}),
        "echo_centre_in_line": [round(float(f), 4) for f in _range((ahead + 0.0) / here["samples"])],
        "partial_fourier": [round(f, 4) for f in raw.coverage.partial_fourier],
        "lines_measured": round(raw.coverage.fraction, 4),
        "acceleration": list(raw.encoding.acceleration),
        "dwell_time_us": _range(here["dwell_us"])[0],
        "noise_scan": {"lines": len(noise), "samples": int(noise["samples"].sum(dtype=np.int64)),
                       "dwell_time_us": _range(noise["dwell_us"])[0] if len(noise) else None},
    }  # fmt: skip


def _range(values: Any) -> list[float]:
    """Smallest and largest, once when they agree."""
    return sorted({round(float(values.min()), 6), round(float(values.max()), 6)})


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        nested = value and isinstance(value[0], list)
        return "\n".join(map(_text, value)) if nested else "  ".join(_text(v) for v in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) and abs(value) < 1e5 else str(value)
