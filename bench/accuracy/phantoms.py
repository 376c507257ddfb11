"""One object, its grid straight and turned: bench/results/phantoms.json.

    python bench/accuracy/phantoms.py [--methods tv ...]

Sphere, cylinder and six spheres, whose field is known in closed form, lie still in B0 while the voxels turn: an oblique
acquisition. Susceptibilities, their regression on the truth and the error should not notice. Every inversion of a local
field by its defaults, with noise of 1.5 ppb and its map. Slopes are means and errors root mean squares over noises,
each with the grid elsewhere by parts of a voxel: where it happens to lie is no matter of its angle. The cylinder runs
through the ball that is the mask; the field of what lies beyond is background, and taken off.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fields import invert
from machine import describe

from ferritin.phantom.field import field as field_of_cells
from ferritin.registry import methods
from ferritin.scan import Scan

SIZE, RADIUS_MM, NOISE_PPM, FINE = 64, 5.0, 1.5e-3, 3
CYLINDER_PPM, MASK_MM, CELL_MM, LENGTH_MM = 0.3, 0.45 * SIZE, 0.5, 400
TURNS = {"straight": (0, 0), "25 degrees": (25, 0), "30 and 20 degrees": (30, 20)}
"""Degrees about x, then about y."""
SPHERES = tuple(
    ((0.26 * SIZE * np.cos(a), 0.26 * SIZE * np.sin(a), 3.2 * (-1) ** i), chi)
    for i, (a, chi) in enumerate(zip(np.arange(6) * np.pi / 3, (-0.2, -0.1, 0.05, 0.1, 0.2, 0.4)))
)
SHIFTS_MM = ((0, 0, 0), (0.31, -0.17, 0.43), (-0.23, 0.39, -0.41))
"""Of the grid in the scanner, one for each noise."""
OBJECTS = {"sphere": (((0.0, 0.0, 0.0), 0.3),), "cylinder": (), "six spheres": SPHERES}
LIMIT = 0.05


def scan_of(turn: tuple[float, float], shift_mm: tuple[float, ...], fine: int = 1) -> Scan:
    """A cube of 1 mm voxels about a point near the origin, turned; or of voxels that are so many times finer."""
    a, b = np.deg2rad(turn)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_y @ about_x / fine
    affine[:3, 3] = affine[:3, :3] @ np.full(3, -fine * SIZE / 2) + shift_mm
    return Scan((0.004, 0.012), 3.0, affine, (fine * SIZE,) * 3)


def world(scan: Scan) -> list[np.ndarray]:
    """Scanner coordinates [mm] of the voxel centres; B0 is along the third."""
    index = np.meshgrid(*map(np.arange, scan.shape), indexing="ij", sparse=True)
    return [sum(scan.affine[i, j] * index[j] for j in range(3)) + scan.affine[i, 3] for i in range(3)]


def phantom(name: str, *grid: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """chi and its field [ppm] as every acquisition sees both, its frequencies alone; labels of inner voxels."""
    chi, field, _ = exact(name, scan_of(*grid, fine=FINE))
    depth = exact(name, scan_of(*grid))[2]
    return band_limited(chi), band_limited(field), depth


def exact(name: str, scan: Scan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """chi and field [ppm] at the voxel centres by their closed forms, and labels of what lies 1 mm inside."""
    chi, field = np.zeros(scan.shape), np.zeros(scan.shape)
    labels = np.zeros(scan.shape, np.uint8)
    x, y, z = world(scan)
    for i, (centre, value) in enumerate(OBJECTS[name], start=1):
        r2 = np.maximum((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2, 1e-9)
        outside = value / 3 * RADIUS_MM**3 / r2**1.5 * (3 * (z - centre[2]) ** 2 / r2 - 1)
        chi += value * (r2 < RADIUS_MM**2)
        field += np.where(r2 < RADIUS_MM**2, 0, outside)
        labels[r2 < (RADIUS_MM - 1) ** 2] = i
    if name == "cylinder":  # along x, across B0: chi/2 (R/r)^2 cos 2phi outside, -chi/6 inside
        value, r2 = CYLINDER_PPM, np.maximum(y * y + z * z, 1e-9)
        chi, labels = value * (r2 < RADIUS_MM**2), (r2 < (RADIUS_MM - 1) ** 2).astype(np.uint8)
        field = np.where(r2 < RADIUS_MM**2, -value / 6, value / 2 * RADIUS_MM**2 * (z * z - y * y) / r2**2)
    return chi, field, labels


def beyond_the_mask(scan: Scan) -> np.ndarray:
    """Field [ppm] at the voxel centres of the two parts of the cylinder that lie outside of the mask."""
    at = [(w + 0.5 * n * CELL_MM) / CELL_MM for w, n in zip(np.broadcast_arrays(*world(scan)), _ends().shape)]
    return map_coordinates(_ends(), at, order=3, mode="nearest")


@cache
def _ends() -> np.ndarray:
    """The same on cells of CELL_MM along scanner axes, the origin in the middle; beyond LENGTH_MM they are 0.1 ppb."""
    shape = [round(n / CELL_MM) for n in (LENGTH_MM, SIZE, SIZE)]
    x, y, z = np.ogrid[tuple(slice(-n // 2, n - n // 2) for n in shape)]
    x, y, z = x * CELL_MM, y * CELL_MM, z * CELL_MM
    rod = (y * y + z * z < RADIUS_MM**2) & (x * x + y * y + z * z >= MASK_MM**2)
    return field_of_cells(np.float32(CYLINDER_PPM) * rod, (CELL_MM,) * 3, (0, 0, 1))


def band_limited(fine: np.ndarray) -> np.ndarray:
    """What the ball of k-space within that of 1 mm voxels holds of a finer volume; sample 0 stays in place.

    The cube would turn with the voxels, and its ringing with it: two acquisitions would not see the same object.
    """
    k = np.fft.fftshift(np.fft.fftn(fine))
    middle, half = fine.shape[0] // 2, SIZE // 2
    k = k[tuple(slice(middle - half, middle + half) for _ in range(3))]
    step = np.arange(-half, half)
    k = k * (step**2 + step[:, None] ** 2 + step[:, None, None] ** 2 < half**2)
    return np.fft.ifftn(np.fft.ifftshift(k)).real * (SIZE / fine.shape[0]) ** 3


def measure(method, name: str, turn: str) -> dict:
    """Slope of the regional means on the truth (ratio for one region), and the error in the mask [%]."""
    slopes, errors = zip(*(measure_once(method, name, (TURNS[turn], s), i) for i, s in enumerate(SHIFTS_MM)))
    return {
        "slope": round(float(np.mean(slopes)), 4),
        "nrmse": round(100 * float(np.mean(np.square(errors)) ** 0.5), 2),
    }


def measure_once(method, name: str, grid: tuple, seed: int) -> tuple[float, float]:
    """Slope and error of one noise on one grid."""
    scan, noise = scan_of(*grid), np.random.default_rng(seed).standard_normal((SIZE,) * 3)
    chi, field, labels = phantom(name, *grid)
    mask = sum(c * c for c in world(scan)) < MASK_MM**2
    labels *= mask
    if name == "cylinder":
        field = field - beyond_the_mask(scan)
    hz = np.float32(scan.hz_per_ppm)
    given = {"local_field": ((field + NOISE_PPM * noise) * hz * mask).astype(np.float32), "mask": mask}
    given["field_noise"] = (np.float32(NOISE_PPM) * hz * mask).astype(np.float32)
    found = invert(method, given, scan).chi.astype(np.float64)
    found, truth = found - found[mask & (labels == 0)].mean(), chi - chi[mask & (labels == 0)].mean()
    means = np.array([[v[labels == i].mean() for v in (truth, found)] for i in range(1, labels.max() + 1)])
    slope = np.polyfit(*means.T, 1)[0] if len(means) > 1 else means[0, 1] / means[0, 0]
    error = np.linalg.norm((found - truth)[mask]) / np.linalg.norm(truth[mask])
    return slope, error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", help="some of them, beside the rows that are there; all when not given")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/phantoms.json")
    a = parser.parse_args()
    rows = json.loads(a.out.read_text())["rows"] if a.methods and a.out.exists() else []
    rows = [row for row in rows if row["method"] not in a.methods]
    for method in methods("dipole"):
        if method.consumes != ("local_field", "mask") or (a.methods and method.name not in a.methods):
            continue
        for name in OBJECTS:
            scores = {turn: measure(method, name, turn) for turn in TURNS}
            straight = scores["straight"]
            turned = [scores[turn] for turn in TURNS if turn != "straight"]
            off = max(abs(s["slope"] / straight["slope"] - 1) for s in turned)
            worse = max(s["nrmse"] / straight["nrmse"] for s in turned)
            row = {"method": method.name, "object": name, **scores}
            row |= {"placements": len(SHIFTS_MM), "slope_differs_by": round(off, 4), "nrmse_ratio": round(worse, 3)}
            row["within_limit"] = off <= LIMIT and worse <= 1 + LIMIT
            rows.append(row)
            print(json.dumps(row), flush=True)
    rows.sort(key=lambda row: row["method"])
    summary = {
        "machine": describe(),
        "limit": LIMIT,
        "beyond": [r for r in rows if not r["within_limit"]],
        "rows": rows,
    }
    a.out.write_text(json.dumps(summary, indent=1) + "\n")
    print(f"{len(rows) - len(summary['beyond'])} of {len(rows)} rows within {100 * LIMIT:g} %")


if __name__ == "__main__":
    main()
