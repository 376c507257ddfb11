"""Fully sampled Cartesian lines to whitened coil images, in one pass over the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np

from ferritin.io.ismrmrd import RawFile
from ferritin.io.readout import KIND
from ferritin.io.spool import Spool
from ferritin.kspace.coil_images import SpooledCoilImages
from ferritin.kspace.oversampling import placed, remove_oversampling
from ferritin.kspace.prewhiten import DEFAULT_BANDWIDTH, Covariance, whitening
from ferritin.registry import method
from ferritin.scan import Scan
from ferritin.stages import CoilImages, Record

_N_ESTIMATE_LINES, _OUTER = 64, 0.75


@method(
    "image", source="Inati et al., MRM 2017;77:411 (format); Kellman & McVeigh, MRM 2005;54:1439 (noise)", host=True
)
def cartesian(
    raw: RawFile,
    scan: Scan,
    *,
    scratch: Annotated[str | None, "folder"] = None,
    progress: Callable[[int, int], None] | None = None,
) -> CoilImages:
    """Coil images of a fully sampled Cartesian scan; partial Fourier and elliptical scans are filled up with zeros.

    Parameters
    ----------
    raw : RawFile
        From ferritin.io.read.
    scan : Scan
    scratch : folder, optional
        For a temporary file of 8 bytes x coils x lines x voxels along x; TMPDIR or /var/tmp when not given.

    Returns
    -------
    coil_images : (coil, echo, x, y, z) complex64, lazy [noise sd]
        coil_images[coil, echo] reads and transforms one volume. The noise of the real and of the imaginary part has
        standard deviation 1, on average over the echoes, whatever was measured, averaged or filled up;
        coil_images.noise_sd is 1.0, or None without a noise scan.

    Raises
    ------
    FormatError
        Damaged, NaN or infinite samples.
    MemoryLimitError
        Not enough room in the scratch folder.

    Notes
    -----
    Each line is whitened and transformed along the readout when it is met, and written to the scratch file. Neither
    the number of coils nor of echoes enters the memory that is used: a block of lines, then one volume.
    """
    whiten, noise_sd, notes = _noise(raw)
    level, unused = _noise_level(raw)
    whiten /= np.float32(level)
    if unused:
        notes = (*notes, f"{unused} samples beyond the encoded matrix were left out")
    imaging, axis = raw.imaging, raw.axes[0]
    spool = Spool(raw.n_coils, tuple(np.bincount(imaging.echo).tolist()), axis.n, scratch)
    order: list[list[np.ndarray]] = [[] for _ in range(imaging.n_echoes)]
    done = 0
    for rows, data in raw.samples(imaging.rows):
        numbers = np.searchsorted(imaging.rows, rows)
        for these in _alike(raw.table[rows], imaging.echo[numbers]):
            lines = remove_oversampling(data[these], raw.table[rows[these[0]]], axis)
            lines = (whiten @ lines.reshape(len(lines), -1)).reshape(lines.shape)
            echo = int(imaging.echo[numbers[these[0]]])
            spool.append(echo, lines)
            order[echo].append(numbers[these])
        done += len(rows)
        if progress:
            progress(done, len(imaging.rows))
    joined = [np.concatenate(numbers) for numbers in order]
    images = SpooledCoilImages(spool, imaging, joined, raw.axes, noise_sd, raw.phase_sign < 0)
    return CoilImages(images, Record(notes=notes))


def _alike(table: np.ndarray, echo: np.ndarray) -> list[np.ndarray]:
    """Numbers of the lines of a block, grouped so that a group has one echo, direction, centre and discarded ends."""
    keys = np.stack([echo, *(table[k].astype(np.int32) for k in KIND)])
    if (keys == keys[:, :1]).all():
        return [np.arange(len(table))]
    group = np.unique(keys, axis=1, return_inverse=True)[1].ravel()
    return [np.flatnonzero(group == g) for g in range(int(group.max()) + 1)]


def _noise(raw: RawFile) -> tuple[np.ndarray, float | None, tuple[str, ...]]:
    """Whitening matrix, noise sd after it (None when unknown), notes."""
    scan, rows = raw.noise()
    table, first = scan.table, raw.table[raw.imaging.rows[0]]
    if not len(rows):
        return _estimated_noise(raw)
    covariance = Covariance(raw.n_coils)
    for block, data in scan.samples(rows):
        for line, row in zip(data, table[block]):
            covariance.add(line[None, :, int(row["discard_pre"]) : line.shape[-1] - int(row["discard_post"])])
    if not covariance.value().any():
        w, sd, notes = _estimated_noise(raw)
        return w, sd, ("the noise scan holds zeros only", *notes)
    dwell, noise_dwell = float(first["dwell_us"]), float(table["dwell_us"][rows[0]])
    if dwell > 0 and noise_dwell > 0:
        bandwidth = raw.header.noise_bandwidth or DEFAULT_BANDWIDTH
        w, notes = whitening(covariance.value(), covariance.n_samples, dwell / noise_dwell * bandwidth)
        return w, 1.0, notes
    w, notes = whitening(covariance.value(), covariance.n_samples)
    return w, None, (*notes, "no sample time in the header: the noise level is relative")


def _estimated_noise(raw: RawFile) -> tuple[np.ndarray, None, tuple[str, ...]]:
    """Without a noise scan: outer readout samples of the outermost lines of the last echo, where signal is least."""
    imaging, axis = raw.imaging, raw.axes[0]
    _, ny, nz = raw.encoding.encoded.matrix
    radius = np.hypot(imaging.ky / ny, imaging.kz / nz)
    last = np.flatnonzero(imaging.echo == imaging.n_echoes - 1)
    outermost = np.sort(last[np.argsort(radius[last], kind="stable")[-_N_ESTIMATE_LINES:]])
    covariance = Covariance(raw.n_coils)
    for rows, data in raw.samples(imaging.rows[outermost]):
        for line, head in zip(data, raw.table[rows]):
            use, low = placed(line.shape[-1], head, axis.n_encoded)
            line = (line[:, ::-1] if head["reversed"] else line)[:, use]
            far = np.abs(low + np.arange(line.shape[-1])) > _OUTER * axis.n_encoded / 2
            covariance.add(line[None, :, far])
    w, notes = whitening(covariance.value(), covariance.n_samples)
    note = f"no noise scan: coils whitened by {covariance.n_samples} outer samples of k-space, the level is relative"
    return w, None, (*notes, note)


def _noise_level(raw: RawFile) -> tuple[float, int]:
    """Noise sd of an image voxel for lines of noise sd 1, rms over the echoes; and the samples that are not used.

    An orthonormal transform of a grid of N places spreads the noise of the places that were measured over all N; the
    mean of a lines has 1/a of the variance.
    """
    imaging, (x, y, z) = raw.imaging, raw.axes
    table = raw.table[imaging.rows]
    kinds, group, counts = np.unique(table[KIND], return_inverse=True, return_counts=True)
    used = [placed(int(k["samples"]), k, x.n_encoded)[0] for k in kinds]
    n_used = np.array([u.stop - u.start for u in used])
    kept = kinds["samples"].astype(int) - kinds["discard_pre"] - kinds["discard_post"]
    place = np.stack([imaging.echo, imaging.ky, imaging.kz, imaging.slice])
    where = np.unique(place, axis=1, return_inverse=True)[1].ravel()
    averages = np.bincount(where)[where]
    variance = (n_used[group.ravel()] / averages**2).sum() / (x.n_fft * y.n_fft * z.n_fft)
    return float(np.sqrt(variance / (imaging.n_echoes * imaging.n_slices))), int(((kept - n_used) * counts).sum())
