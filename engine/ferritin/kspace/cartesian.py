"""Fully sampled Cartesian lines to whitened coil images, in one pass over the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np

from ferritin.io.ismrmrd import RawFile
from ferritin.io.readout import KIND
from ferritin.io.spool import Spool
from ferritin.kspace.coil_images import SpooledCoilImages
from ferritin.kspace.oversampling import placed, remove_oversampling, used
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
    imaging, axis = raw.imaging, raw.axes[0]
    spool = Spool(raw.n_coils, tuple(np.bincount(imaging.echo).tolist()), axis.n, scratch)
    order: list[list[np.ndarray]] = [[] for _ in range(imaging.n_echoes)]
    n_measured, done = np.zeros(len(imaging.rows), np.int32), 0
    for rows, data in raw.samples(imaging.rows):
        numbers = np.searchsorted(imaging.rows, rows)
        for these in _alike(raw.table[rows], imaging.echo[numbers]):
            head = raw.table[rows[these[0]]]
            n_measured[numbers[these]] = _count(used(data[these], head, axis.n_encoded)[0])
            lines = remove_oversampling(data[these], head, axis)
            lines = (whiten @ lines.reshape(len(lines), -1)).reshape(lines.shape)
            echo = int(imaging.echo[numbers[these[0]]])
            spool.append(echo, lines)
            order[echo].append(numbers[these])
        done += len(rows)
        if progress:
            progress(done, len(imaging.rows))
    joined = [np.concatenate(numbers) for numbers in order]
    level = _noise_level(raw, n_measured)
    images = SpooledCoilImages(spool, imaging, joined, raw.axes, noise_sd, raw.phase_sign < 0, 1 / level)
    return CoilImages(images, Record(notes=(*notes, *_left_out(raw, n_measured))))


def _count(samples: np.ndarray) -> np.ndarray:
    """How many samples of each line were measured: zeros of all coils are what a scanner or converter filled up."""
    return np.count_nonzero(samples.any(axis=1), axis=-1)


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
    """Without a noise scan: outer readout samples of the outermost lines of the last echo, where signal is least.

    Zeros were not measured; lines of zeros give way to the next ones inwards, and at last to the echo before.
    """
    imaging, axis = raw.imaging, raw.axes[0]
    _, ny, nz = raw.encoding.encoded.matrix
    inwards = np.lexsort((-np.hypot(imaging.ky / ny, imaging.kz / nz), -imaging.echo))
    covariance, found = Covariance(raw.n_coils), 0
    for start in range(0, len(inwards), _N_ESTIMATE_LINES):
        for rows, data in raw.samples(np.sort(imaging.rows[inwards[start : start + _N_ESTIMATE_LINES]])):
            for line, head in zip(data, raw.table[rows]):
                samples, low = used(line[None], head, axis.n_encoded)
                there = samples.any(axis=(0, 1))
                radius = np.abs(low + np.arange(len(there)))
                covariance.add(samples[..., there & (radius > _OUTER * radius[there].max(initial=0))])
                found += bool(there.any())
        if found >= _N_ESTIMATE_LINES:
            break
    w, notes = whitening(covariance.value(), covariance.n_samples)
    note = f"no noise scan: coils whitened by {covariance.n_samples} outer samples of k-space, the level is relative"
    return w, None, (*notes, note)


def _noise_level(raw: RawFile, n_measured: np.ndarray) -> float:
    """Noise sd of an image voxel for lines of noise sd 1 with so many measured samples, rms over the echoes.

    An orthonormal transform of a grid of N places spreads the noise of the places that were measured over all N; the
    mean of a lines has 1/a of the variance.
    """
    imaging, (x, y, z) = raw.imaging, raw.axes
    place = np.stack([imaging.echo, imaging.ky, imaging.kz, imaging.slice])
    where = np.unique(place, axis=1, return_inverse=True)[1].ravel()
    averages = np.bincount(where)[where]
    variance = (n_measured / averages**2).sum() / (x.n_fft * y.n_fft * z.n_fft)
    return float(np.sqrt(variance / (imaging.n_echoes * imaging.n_slices))) or 1.0


def _left_out(raw: RawFile, n_measured: np.ndarray) -> tuple[str, ...]:
    """Notes on lines of zeros and on samples beyond the encoded matrix."""
    notes = []
    if empty := int((n_measured == 0).sum()):
        notes.append(f"{empty} of {len(n_measured)} lines hold zeros only and count as not measured")
    kinds, counts = np.unique(raw.table[raw.imaging.rows][KIND], return_counts=True)
    use = [placed(int(k["samples"]), k, raw.axes[0].n_encoded)[0] for k in kinds]
    kept = kinds["samples"].astype(int) - kinds["discard_pre"] - kinds["discard_post"]
    if unused := int(((kept - [u.stop - u.start for u in use]) * counts).sum()):
        notes.append(f"{unused} samples beyond the encoded matrix were left out")
    return tuple(notes)
