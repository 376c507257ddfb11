"""How well χ⁺ and χ⁻ are told apart, and chi from several orientations against one: the program's own head.

    python bench/accuracy/sources.py [--voxel 2] [--seed 1] [--b0 7] [--work FOLDER]

Writes bench/results/sources.json and sources.png. Inside the truth mask less 3 mm: correlation, NRMSE [%] (of the maps
less their means; `nrmse_raw` with them) and slope of the map over the truth, for either source and their sum.

Inputs: the true local field, R2* and R2 with the noise that the protocol's signal gives them (Cramér-Rao), and echoes
made of them. Two heads: `relation`: R2' is D_r (χ⁺ − χ⁻), D_r as the methods assume it; `tables`: R2' is R2* − R2 of
the head, whose tissues follow no common D_r. `chain` replaces field, chi and R2* by those reconstructed from echoes.
What was simulated or measured already is taken from the work folder, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe

import ferritin as ft
from ferritin.inversion.orientations import least_power
from ferritin.phantom import Protocol
from ferritin.phantom.field import field
from ferritin.phantom.scanner import Scanner
from ferritin.scan import Scan

RESULT = Path(__file__).resolve().parents[1] / "results" / "sources.json"
SOURCES = ("chi_positive", "chi_negative", "sum")


class Head:
    """A simulated head: truth, noise-free signal, and the noise that it gives to field and rates."""

    def __init__(self, voxel_mm: float, seed: int, b0_t: float, work: Path) -> None:
        self.work, self.seed = work / f"{voxel_mm:g}mm-seed{seed}-{b0_t:g}T", seed
        self.work.mkdir(parents=True, exist_ok=True)
        self.protocol = Protocol(voxel_mm=(voxel_mm,) * 3, b0_t=b0_t)
        self.truth = self.kept("truth", self._truth)
        self.mask, self.sigma = self.truth["mask"] > 0, float(self.truth["sigma"])
        te = [1e-3 * t for t in self.protocol.te_ms]
        self.scan = Scan(te, b0_t, self.truth["affine"], self.mask.shape)
        self.inside = ndimage.distance_transform_edt(self.mask, sampling=self.protocol.voxel_mm) > 3
        self.rng = np.random.default_rng(seed)

    def kept(self, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Arrays from the work folder, made when they are not there."""
        path = self.work / f"{name}.npz"
        if not path.exists():
            half = path.with_suffix(".part.npz")
            np.savez(half, **make())
            half.rename(path)
        return dict(np.load(path))

    @cached_property
    def scanner(self) -> Scanner:
        """The simulated scanner."""
        return Scanner(self.protocol, self.seed)

    def _truth(self) -> dict[str, np.ndarray]:
        scanner = self.scanner
        return scanner.truth() | {"sigma": np.array(scanner.sigma), "affine": scanner.images.affine}

    def echo(self, index: int) -> np.ndarray:
        """A noise-free echo as the scanner forms it."""
        return self.kept(f"echo{index}", lambda: {"echo": self.scanner.echo(index)})["echo"]

    def turned(self, b0_dir: np.ndarray) -> np.ndarray:
        """Field [ppm] of the sources in the mask with B0 along `b0_dir`."""
        fine, scanner = self.scanner.fine, self.scanner
        cells = scanner.head.brain & (scanner._nearest(self.mask, fine, scanner.images) > 0)
        chi = scanner.head.chi()
        chi = np.where(cells, chi - chi[cells].mean(), 0).astype(np.float32)
        return scanner.mean(field(chi, fine.cell_mm, b0_dir))

    def sources(self) -> tuple[np.ndarray, np.ndarray]:
        """χ⁺ and χ⁻."""
        return self.truth["chi_plus"], self.truth["chi_minus"]

    def noise_of(self, r2star: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviation of the field [Hz] and of R2* [1/s] fitted to the echoes, the phase offset free."""
        te = np.array(self.scan.te_s)[:, None, None, None]
        power = (self.truth["s0"] * np.exp(-te * r2star) / self.sigma) ** 2
        a, b, c = power.sum(0), (power * te).sum(0), (power * te * te).sum(0)
        rate = np.sqrt(a / np.maximum(a * c - b * b, 1e-12)) * self.mask
        return (rate / (2 * np.pi)).astype(np.float32), rate.astype(np.float32)

    def noisy(self, volume: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """With Gaussian noise, inside the mask."""
        return ((volume + sd * self.rng.normal(size=volume.shape)) * self.mask).astype(np.float32)


def inputs(head: Head, relation: bool) -> dict[str, np.ndarray]:
    """Artifacts that the methods take, made of the truth."""
    truth, scan = head.truth, head.scan
    positive, negative = head.sources()
    r2prime = 137 * scan.b0_t / 3 * (positive - negative) if relation else truth["r2star"] - truth["r2"]
    r2star = truth["r2"] + np.maximum(r2prime, 0) * head.mask
    field_noise, rate_noise = head.noise_of(r2star)
    r2_error = 0.03 * truth["r2"] * head.mask
    values = {
        "local_field": head.noisy(truth["local_field"] * scan.hz_per_ppm, field_noise),
        "field_noise": field_noise,
        "r2star": np.maximum(head.noisy(r2star, rate_noise), 0),
        "r2star_se": rate_noise,
        "r2": np.maximum(head.noisy(truth["r2"], r2_error), 0),
        "r2_se": r2_error,
        "s0": truth["s0"],
        "mask": head.mask,
    }
    te = np.array(scan.te_s)[:, None, None, None]
    signal = truth["s0"] * np.exp(-te * r2star)
    noise = head.sigma * head.rng.normal(size=(2, *signal.shape))
    values["echoes"] = ((signal + noise[0] + 1j * noise[1]) * head.mask).astype(np.complex64)
    return values


def reconstructed(head: Head, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same from the scanner's own echoes, by the chain; R2 stays what it was."""
    shape = head.mask.shape
    noise = head.sigma * head.rng.normal(size=(len(head.scan.te_s), 2, *shape))
    echoes = np.stack([head.echo(i) + n[0] + 1j * n[1] for i, n in enumerate(noise)]).astype(np.complex64)
    scan = head.scan.replace(data={"echoes": echoes, "noise_sd": head.sigma})
    maps = ft.reconstruct(scan, device="cpu", mask=head.mask, keep=("field_noise", "r2star_se", "s0", "local_mask"))
    names = ("local_field", "field_noise", "r2star", "r2star_se", "s0", "chi")
    found = {name: np.nan_to_num(maps.artifacts[name]) for name in names}
    return values | found | {"mask": maps.artifacts["local_mask"], "echoes": echoes}


def run(head: Head, case: str, values: dict[str, np.ndarray]) -> tuple[dict[str, dict], dict[str, tuple]]:
    """Scores of every method, and the maps."""
    scan, mask = head.scan, values["mask"]
    if "chi" not in values:
        names = ("local_field", "mask", "field_noise", "s0", "r2star")
        found = head.kept(f"{case}-chi", lambda: {"chi": ft.dipole.tv(scan=scan, **{n: values[n] for n in names}).chi})
        values = values | found
    values["r2prime"], values["r2prime_se"], _ = ft.relax.difference(
        values["r2star"], values["r2"], mask, scan, values["r2star_se"], values["r2_se"]
    )
    rows, maps = {}, {}
    for method in ft.methods("sources"):
        taken = {n: values[n] for n in (*method.consumes, *method.optional) if n in values}

        def made(method: Any = method, taken: dict = taken) -> dict[str, np.ndarray]:
            start = time.perf_counter()
            positive, negative, record = method(scan=scan, **taken)
            seconds = time.perf_counter() - start
            return {"positive": positive, "negative": negative, "cost": np.array([seconds, record.iterations])}

        found = head.kept(f"{case}-{method.name}", made)
        maps[method.name] = found["positive"], found["negative"]
        rows[method.name] = score(head, *maps[method.name])
        rows[method.name] |= {"seconds": round(float(found["cost"][0]), 2), "iterations": int(found["cost"][1])}
    return rows, maps


def score(head: Head, positive: np.ndarray, negative: np.ndarray) -> dict[str, dict[str, float]]:
    """Figures for χ⁺, χ⁻ and their sum."""
    truth = head.sources()
    pairs = zip(SOURCES, (positive, negative, positive + negative), (*truth, truth[0] + truth[1]))
    return {name: figures(found[head.inside], true[head.inside]) for name, found, true in pairs}


def figures(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Correlation, NRMSE and slope of values inside."""
    x, t = found.astype(float), true.astype(float)
    raw = np.linalg.norm(x - t) / np.linalg.norm(t)
    x, t = x - x.mean(), t - t.mean()
    out = {
        "correlation": float(np.corrcoef(x, t)[0, 1]) if x.any() else 0.0,
        "nrmse": 100 * np.linalg.norm(x - t) / np.linalg.norm(t),
        "nrmse_raw": 100 * raw,
        "slope": float(x @ t / (t @ t)),
    }
    return {name: round(float(value), 3) for name, value in out.items()}


def orientations(head: Head) -> dict[str, dict]:
    """COSMOS from three and five orientations 25 degrees apart, and TV from one, with noise in all."""
    scan, (noise, _) = head.scan, head.noise_of(head.truth["r2star"])
    tilts = np.radians(((0, 0), (25, 0), (25, 180), (25, 90), (25, 270)))
    b = np.array([[np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)] for t, p in tilts])
    ppm = [head.kept(f"turned{i}", lambda d=d: {"ppm": head.turned(d)})["ppm"] for i, d in enumerate(b)]
    fields = np.stack([head.noisy(f * scan.hz_per_ppm, noise) for f in ppm])
    out = {}
    for n in (3, 5):
        for solver in ("closed_form", "least_squares"):
            noises = np.stack([noise] * n)
            found = ft.dipole.cosmos(fields[:n], b[:n], head.mask, scan, noises, solver=solver, least=1e-4)
            out[f"cosmos {n} {solver}"] = figures(found.chi[head.inside], head.truth["chi"][head.inside]) | {
                "least_power": round(least_power(b[:n])[0], 4), "iterations": found.record.iterations,
            }  # fmt: skip
    tv = ft.dipole.tv(fields[0], head.mask, scan, noise, head.truth["s0"], head.truth["r2star"]).chi
    out["tv 1"] = figures(tv[head.inside], head.truth["chi"][head.inside])
    return out


def picture(head: Head, maps: dict[str, tuple], path: Path) -> None:
    """Truth and every method on one slice through the deep nuclei."""
    from matplotlib.figure import Figure

    dgm = np.isin(head.truth["labels"], (1, 2, 3))
    z = int(np.bincount(np.nonzero(dgm)[2]).argmax())
    columns = {"truth": head.sources()} | maps
    figure = Figure(figsize=(2.2 * len(columns), 5), facecolor="black", layout="constrained")
    axes = figure.subplots(2, len(columns))
    for column, (name, pair) in zip(axes.T, columns.items()):
        for axis, values, sign in zip(column, pair, (1, -1)):
            axis.imshow(np.rot90(sign * values[:, :, z]), cmap="gray", vmin=0, vmax=0.15 if sign > 0 else 0.08)
            axis.set_axis_off()
        column[0].set_title(name.replace("_", " "), color="white", fontsize=9)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxel", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--b0", type=float, default=7.0)
    parser.add_argument("--work", type=Path)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measure(a, Head(a.voxel, a.seed, a.b0, a.work or Path(scratch)))


def measure(a: argparse.Namespace, head: Head) -> None:
    """All cases; the result is written when all are done."""
    out: dict = {"machine": describe(), "voxel_mm": a.voxel, "seed": a.seed, "b0_t": a.b0}
    cases: dict[str, Callable[[], dict]] = {
        "relation": lambda: inputs(head, True),
        "tables": lambda: inputs(head, False),
        "chain": lambda: head.kept("chain", lambda: reconstructed(head, inputs(head, False))),
    }
    for name, make in cases.items():
        out[name], maps = run(head, name, make())
        if name == "relation":
            picture(head, maps, RESULT.with_suffix(".png"))
        for method, row in out[name].items():
            print(name, method, *(tuple(row[s].values()) for s in SOURCES), row["seconds"], flush=True)
    out["orientations"] = orientations(head)
    print(json.dumps(out["orientations"], indent=1))
    RESULT.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
