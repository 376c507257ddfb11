"""What the JSON beside a map says: unit, meaning, method, parameters, versions, input, and what it was made from."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ferritin.scan import Scan
from ferritin.stages import ARTIFACTS, STAGES

_REFERENCES = {
    "mean": "mean over the mask is zero",
    "none": "none: the map's own zero, with an undetermined constant",
}


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    out = {"python": platform.python_version()}
    for name in ("ferritin", "numpy", "scipy", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out | {"ferritin": _own_version()}


def _own_version() -> str:
    from ferritin import __version__

    return __version__


def input_hash(scan: Scan) -> Mapping[str, Any]:
    """The input's content hash as the reader has said it, by the name of the hash; {} for data made in memory."""
    said = scan.provenance
    return {k: v for k, v in said.items() if k.startswith("sha256") or k == "hash"}


def maker(artifact: str, stages: tuple[Any, ...]) -> Any | None:
    """The StageInfo of the stage that made an artifact; None when it was given."""
    return next((info for info in stages if artifact in STAGES[info.stage].produces), None)


def reference(info: Any) -> str:
    """What zero susceptibility means, in words, from the StageInfo of the dipole stage."""
    said = info.parameters.get("reference", "none")
    return _REFERENCES.get(said, said)


def acquisition(scan: Scan) -> dict[str, Any]:
    """Facts of the scan that a map's reader needs, by BIDS names where BIDS has them."""
    out = {
        "MagneticFieldStrength": scan.b0_t,
        "ImagingFrequency": scan.f0_hz and 1e-6 * scan.f0_hz,
        "EchoTimes": list(scan.te_s),
        "B0DirectionInVoxelAxes": list(scan.b0_dir),
    }
    return {k: v for k, v in out.items() if v}


def of_map(artifact: str, scan: Scan, stages: tuple[Any, ...], files: Mapping[str, str]) -> dict[str, Any]:
    """The sidecar of a map.

    files: BIDS URI by artifact of what else is written, from which Sources is taken.
    """
    row, info = ARTIFACTS[artifact], maker(artifact, stages)
    out = {"Description": row.meaning[:1].upper() + row.meaning[1:] + "."}
    if row.unit:
        out["Units"] = row.unit
    if artifact.endswith("mask"):
        out |= {"Type": "Brain" if artifact == "mask" else "ROI"}
    else:
        out["SkullStripped"] = True
    if artifact == "chi" and info is not None:
        out["Reference"] = reference(info)
    out |= made_by(info, files) if info is not None else {"Method": "given by the user, not computed"}
    return out | acquisition(scan) | {"InputHash": input_hash(scan), "Versions": versions()}


def made_by(info: Any, files: Mapping[str, str] = {}) -> dict[str, Any]:
    """How a stage made its products: method, its source, parameters, what it consumed, and how it ended."""
    record = info.record
    out = {
        "Method": f"{info.stage}.{info.method}",
        "MethodSource": info.source,
        "Parameters": dict(info.parameters),
        "Sources": [files[name] for name in info.inputs if name in files],
        "Iterations": record.iterations,
        "Residual": record.residual,
        "StoppedBy": record.stopped_by,
        "Notes": list(record.notes),
    }
    return {k: v for k, v in out.items() if v not in (None, [], {})}
