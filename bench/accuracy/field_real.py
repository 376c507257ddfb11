"""The field of a real 7 T crop: is the phase of its echoes one line, is the map smooth? bench/results/field_real.json

python bench/accuracy/field_real.py --crop FOLDER    (three echoes of a head at 7 T, TE 4/8/12 ms, magnitude and phase)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe

import ferritin

TE_MS = (4.0, 8.0, 12.0)
LIMIT_RAD = 0.1
JUMP_HZ = 1e3 / (2 * TE_MS[0])
"""Half a turn of the echo difference between two voxels: more is an open fringe line or a wrong wrap."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", type=Path, required=True, help="folder of the crop's NIfTI files")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results" / "field_real.json")
    a = parser.parse_args()
    scan = ferritin.read(a.crop, te_ms=TE_MS, b0=7.0)
    maps = ferritin.reconstruct(scan, targets=("mask", "total_field"), device="cpu", keep=("echoes",))
    echoes, mask, field = maps.echoes, maps.mask, maps.total_field
    said = {s.stage: {"method": s.method, "notes": s.record.notes} for s in maps.stages}
    bend = np.abs(np.angle(echoes[0] * echoes[1].conj() ** 2 * echoes[2]))[mask]
    rest = np.angle(echoes * np.exp(-2j * np.pi * field * np.reshape(scan.te_s, (3, 1, 1, 1))))
    step = wrapped(np.diff(rest, axis=0))[:, mask]
    result = {
        "machine": describe(),
        "second_difference_rad": dict(zip(("median", "p90"), map(float, np.percentile(bend, [50, 90])))),
        "limit_rad": LIMIT_RAD,
        "left_between_echoes_rad": dict(zip(("median", "p90"), map(float, np.percentile(np.abs(step), [50, 90])))),
        "neighbours_that_jump_percent": {
            name: 100 * jump_share(field, inside) for name, inside in surfaces(mask).items()
        },
        "mask_voxels": int(mask.sum()),
        "field_hz": dict(zip(("p1", "median", "p99"), map(float, np.percentile(field[mask], [1, 50, 99])))),
        "stages": said,
    }
    a.out.write_text(json.dumps(result, indent=1) + "\n")
    picture(echoes, mask, field, rest, a.out.with_suffix(".png"))
    print(json.dumps(result, indent=1))


def wrapped(phase: np.ndarray) -> np.ndarray:
    """To ±π."""
    return phase - 2 * np.pi * np.rint(phase / (2 * np.pi))


def surfaces(mask: np.ndarray) -> dict[str, np.ndarray]:
    """The mask, and the mask two voxels inside itself."""
    from scipy.ndimage import binary_erosion

    return {"mask": mask, "inside": binary_erosion(mask, iterations=2, border_value=1)}


def jump_share(field: np.ndarray, inside: np.ndarray) -> float:
    """The share of neighbours, both inside, whose fields differ by more than half a turn."""
    pairs = jumps = 0
    for axis in range(3):
        here = (slice(None),) * axis + (slice(1, None),)
        before = (slice(None),) * axis + (slice(None, -1),)
        both = inside[here] & inside[before]
        pairs += both.sum()
        jumps += (np.abs(field[here] - field[before])[both] > JUMP_HZ).sum()
    return float(jumps / pairs)


def picture(echoes: np.ndarray, mask: np.ndarray, field: np.ndarray, rest: np.ndarray, path: Path) -> None:
    """Wrapped phases of the first and last echo, the field, and what it leaves of the last echo, in three slices."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = {
        "phase, TE 4 ms [rad]": (np.angle(echoes[0]), np.pi),
        "phase, TE 12 ms [rad]": (np.angle(echoes[-1]), np.pi),
        "field [Hz]": (np.where(mask, field - np.median(field[mask]), np.nan), 60),
        "phase left at TE 12 ms [rad]": (np.where(mask, rest[-1], np.nan), np.pi),
    }
    slices = np.linspace(0.2, 0.8, 3) * field.shape[2]
    figure, axes = plt.subplots(3, len(columns), figsize=(3 * len(columns), 8.6))
    for down, z in enumerate(slices.astype(int)):
        for across, (title, (volume, size)) in enumerate(columns.items()):
            axis = axes[down, across]
            shown = axis.imshow(volume[:, :, z].T, origin="lower", cmap="gray", vmin=-size, vmax=size)
            axis.set(xticks=[], yticks=[], title=title if down == 0 else None)
            if down == 2:
                figure.colorbar(shown, ax=axis, orientation="horizontal", pad=0.03)
    figure.savefig(path, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    main()
