"""Read an ISMRMRD (MRD 1) raw file: headers at once, samples in blocks when the stage `image` asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ferritin.errors import FormatError, HeaderError, few
from ferritin.io import checks, geometry, lines, readout
from ferritin.io.acquisitions import BLOCK_ACQUISITIONS, Group, opened, read_groups, read_header, read_rows
from ferritin.io.header import Encoding, Header
from ferritin.scan import Finding, Scan
from ferritin.units import GAMMA_HZ_PER_T

_BLOCK_BYTES = 2 << 20
_BANDWIDTHS = 0.1, 2.0


@dataclass(frozen=True, eq=False)
class RawFile:
    """An ISMRMRD file whose headers are known and whose samples are still on disk: the artifact `raw`.

    table : one row (lines.TABLE) for each acquisition. imaging : the lines of the image. axes : x, y, z from k-space to
    image. phase_sign : -1 when the images must be conjugated. others : the groups without imaging lines.
    """

    path: Path
    group: str
    header: Header
    encoding: Encoding
    table: np.ndarray
    imaging: lines.Imaging
    coverage: lines.Coverage
    axes: tuple[geometry.Axis, geometry.Axis, geometry.Axis]
    phase_sign: int
    others: tuple[Group, ...] = ()

    @property
    def n_coils(self) -> int:
        """Receive channels of the imaging lines."""
        return int(self.table["channels"][self.imaging.rows[0]])

    def noise(self) -> tuple[RawFile, np.ndarray]:
        """Where noise was measured with the coils of the image, and its acquisition numbers there (perhaps none).

        This group, or the first other one of the file that has such lines.
        """
        for file in (self, *(replace(self, group=g.name, table=g.table) for g in self.others)):
            rows = np.flatnonzero((file.table["kind"] == lines.NOISE) & (file.table["channels"] == self.n_coils))
            if len(rows):
                return file, rows
        return self, rows[:0]

    def samples(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The samples of some acquisitions, in blocks, in file order.

        Parameters
        ----------
        rows : increasing acquisition numbers of one channel count.

        Yields
        ------
        rows : acquisition numbers of the block, all with the same number of samples
        data : (line, coil, sample) complex64, as the file holds them

        Raises
        ------
        FormatError
            Damaged samples, or as many as the header does not say, or NaN and infinity among them.
        """
        with opened(self.path) as file:
            dataset = file[f"{self.group}/data"]
            for block in self._blocks(rows):
                data = read_rows(dataset.fields("data"), block[0], block[-1] + 1, self.path)[block - block[0]]
                for n_samples in np.unique(self.table["samples"][block]):
                    same = self.table["samples"][block] == n_samples
                    yield block[same], self._stack(data[same], block[same])

    def _blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Cut rows into blocks that lie near each other in the file and fit into a small memory."""
        here = self.table[rows]
        line_bytes = 8 * int(np.max(here["samples"].astype(np.int64) * here["channels"], initial=1))
        n = max(1, min(BLOCK_ACQUISITIONS, _BLOCK_BYTES // line_bytes))
        at = 0
        while at < len(rows):
            stop = at + int(np.searchsorted(rows[at : at + n], rows[at] + n))
            yield rows[at:stop]
            at = stop

    def _stack(self, data: np.ndarray, rows: np.ndarray) -> np.ndarray:
        head = self.table[rows[0]]
        n_coils, n_samples = int(head["channels"]), int(head["samples"])
        for row, d in zip(rows, data):
            if len(d) != 2 * n_coils * n_samples:
                raise FormatError(
                    f"{self.path}: acquisition {row} has {len(d)} numbers, expected {2 * n_coils * n_samples} for "
                    f"{n_coils} coils and {n_samples} samples; the file is damaged, export it again"
                )
        out = np.concatenate(data).view(np.complex64).reshape(len(rows), n_coils, n_samples)
        with np.errstate(invalid="ignore", over="ignore"):
            total = out.sum()
        if not np.isfinite(total) and not np.isfinite(out).all():
            bad = ~np.isfinite(out).all(axis=(1, 2))
            raise FormatError(
                f"{self.path}: {np.sum(~np.isfinite(out))} NaN or infinite samples from acquisition {rows[bad][0]} on; "
                "expected finite numbers: export the scan again"
            )
        return out


def read(
    path: Path,
    *,
    te_ms: Sequence[float] | None = None,
    b0: float | None = None,
    polarity: str | Sequence[int] | None = None,
    phase_sign: str | int = "+",
) -> Scan:
    """Read the headers of a raw file; see ferritin.io.read. The scan's data hold `raw`, a RawFile."""
    group, others = read_groups(path)
    header, table = read_header(path, group.name), group.table
    imaging, encoding, findings = lines.imaging_lines(table, header.encodings, str(path))
    _one_channel_count(table, imaging, path)
    coverage = lines.coverage(imaging, encoding, str(path))
    header = _bandwidth_checked(header, findings)
    findings += readout.checked(table[imaging.rows], encoding, str(path))
    imaging, axes, affine, found = _grid(imaging, encoding, group.directions, path)
    b0_t = _field_strength(header, b0, path, findings)
    sign = checks.phase_sign_of(phase_sign)
    raw = RawFile(path, group.name, header, encoding, table, imaging, coverage, axes, sign, others)
    findings += found + _sampling_findings(raw) + _group_findings(raw)
    return checks.scan_of(
        path,
        te_s=_echo_times(header, imaging.n_echoes, te_ms, path, findings),
        b0_t=b0_t,
        f0_hz=header.f0_hz if b0 is None else None,
        affine=affine,
        shape=tuple(a.n for a in axes),
        polarity=checks.signs(polarity) or _polarity(table, imaging, findings),
        data={"raw": raw},
        provenance=_provenance(path, header, phase_sign),
        findings=tuple(findings),
    )


def _bandwidth_checked(header: Header, findings: list[Finding]) -> Header:
    """The header without a receiver noise bandwidth that cannot be: it scales the noise, and with it the images."""
    low, high = _BANDWIDTHS
    if header.noise_bandwidth is None or low <= header.noise_bandwidth <= high:
        return header
    said = f"relativeReceiverNoiseBandwidth is {header.noise_bandwidth:g}, expected {low:g} to {high:g}"
    findings.append(Finding(said, "the usual one is taken"))
    return replace(header, noise_bandwidth=None)


def _one_channel_count(table: np.ndarray, imaging: lines.Imaging, path: Path) -> None:
    channels = np.unique(table["channels"][imaging.rows])
    if len(channels) > 1 or channels[0] == 0:
        raise FormatError(f"{path}: imaging lines have {few(channels)} channels, expected one number; export it again")


def _grid(imaging: lines.Imaging, encoding: Encoding, directions: np.ndarray, path: Path) -> tuple:
    """Imaging lines with their slices in spatial order, axes, affine, findings."""
    axes = geometry.axes_of(encoding)
    position, read, phase, slice_ = (directions[imaging.rows, i] for i in range(4))
    rotation, findings = geometry.directions(read, phase, slice_, str(path))
    first = [int(np.argmax(imaging.slice == s)) for s in range(imaging.n_slices)]
    order, distance, found = geometry.stack_slices(position[first], rotation[:, 2], axes[2].voxel_mm, str(path))
    if imaging.n_slices > 1:
        axes = (*axes[:2], geometry.Axis(1, 1, imaging.n_slices, distance))
    centre = position[first][order[len(order) // 2]]
    affine = geometry.affine_of(rotation, np.array([a.voxel_mm for a in axes]), [a.n for a in axes], centre)
    for name, axis in zip(("read", "phase", "slice"), axes):
        if axis.n_fft > axis.n_encoded:
            findings.append(Finding(
                f"the header asks for {axis.n_fft} steps along {name}, {axis.n_encoded} are encoded",
                "k-space is filled up with zeros",
            ))  # fmt: skip
    return replace(imaging, slice=np.argsort(order)[imaging.slice]), axes, affine, findings + found


def _group_findings(raw: RawFile) -> list[Finding]:
    source = raw.noise()[0].group
    return [
        Finding(
            f"group {g.name} beside {raw.group} has {len(g.table)} acquisitions, none for the image",
            "its noise scan is used" if g.name == source else "it was left out",
            "info",
        )
        for g in raw.others
    ]


def _sampling_findings(raw: RawFile) -> list[Finding]:
    table, imaging, coverage, findings = raw.table, raw.imaging, raw.coverage, []
    kinds, counts = np.unique(table["kind"], return_counts=True)
    for kind, count in zip(kinds, counts):
        if kind not in (lines.IMAGING, lines.NOISE, lines.BOTH):
            findings.append(Finding(f"{count} {lines.KINDS[kind]} lines", "not used for the image", "info"))
    if not len(raw.noise()[1]):
        findings.append(Finding("no noise scan", "noise is estimated from outer k-space; its level is relative"))
    if coverage.fraction < 1:
        findings.append(Finding(
            f"{100 * coverage.fraction:.1f} % of the lines of k-space were measured", "the others are zero", "info"
        ))  # fmt: skip
    here = table[imaging.rows]
    if not here["center"].all():
        findings.append(Finding("lines without a centre sample", "the middle of the line is taken"))
    return findings


def _field_strength(header: Header, b0: float | None, path: Path, findings: list[Finding]) -> float:
    if b0 is not None:
        return float(b0)
    if header.b0_t is None and header.f0_hz is None:
        raise HeaderError(f"{path}: no field strength in the header; give it with --b0")
    if header.b0_t is None:
        findings.append(Finding("no field strength in the header", "taken from the proton frequency"))
        return header.f0_hz / GAMMA_HZ_PER_T
    apart = abs(header.f0_hz / GAMMA_HZ_PER_T - header.b0_t) if header.f0_hz else 0
    if apart > checks.FREQUENCY_TOLERANCE * abs(header.b0_t):
        raise HeaderError(
            f"{path}: field strength {header.b0_t} T and proton frequency {header.f0_hz:.0f} Hz disagree; give --b0"
        )
    return header.b0_t


def _echo_times(
    header: Header, n_echoes: int, te_ms: Sequence[float] | None, path: Path, findings: list[Finding]
) -> tuple[float, ...]:
    te = checks.echo_times_s(te_ms) or header.te_s
    ms = [round(1e3 * t, 4) for t in te]
    if not te:
        raise HeaderError(f"{path}: no echo times in the header; give them with --te-ms")
    if len(te) < n_echoes or (te_ms is not None and len(te) != n_echoes):
        raise HeaderError(f"{path}: lines of {n_echoes} echoes, but echo times {ms} ms; give one for each with --te-ms")
    if max(te) < 3e-4:
        raise HeaderError(f"{path}: echo times {ms} ms look like seconds, expected ms; give them with --te-ms")
    if len(te) > n_echoes:
        findings.append(Finding(f"{len(te)} echo times for {n_echoes} echoes", f"the first {n_echoes} are used"))
    return te[:n_echoes]


def _polarity(table: np.ndarray, imaging: lines.Imaging, findings: list[Finding]) -> tuple[int, ...]:
    """Readout direction of each echo from its reversed lines."""
    share = np.bincount(imaging.echo, weights=table["reversed"][imaging.rows]) / np.bincount(imaging.echo)
    if ((share > 0) & (share < 1)).any():
        findings.append(
            Finding("echoes with lines of both readout directions", "the more frequent direction is stated")
        )
    return tuple(-1 if s > 0.5 else 1 for s in share)


def _provenance(path: Path, header: Header, phase_sign: str | int) -> dict[str, Any]:
    out = {"format": "ISMRMRD", "file": path.name, "bytes": path.stat().st_size, "hash": checks.content_hash(path)}
    out |= header.facts
    out |= {"tr_s": header.tr_s, "flip_deg": header.flip_deg, "patient_position": header.patient_position}
    out["reading"] = {"phase_sign": "+" if checks.phase_sign_of(phase_sign) > 0 else "-"}
    return {k: v for k, v in out.items() if v is not None}
