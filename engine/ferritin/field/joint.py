"""The joint field estimator: all echoes and all neighbours decide together on wraps, field and offset."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np

from ferritin.errors import InputError
from ferritin.ops.smooth import CoarseGaussian
from ferritin.registry import method
from ferritin.stages import Record, TotalField
from ferritin_kernels import joint as kernels

_TWO_PI = 2 * math.pi
_OPEN = 0.7  # coherence of neighbouring offsets below which they are not smooth
_DOUBTFUL = 0.05  # chance of a wrong turn from which a voxel is reported
_F0_HZ = 128e6  # when nobody knows; it only scales the error that structure inside a voxel makes
_SLICES_APART = 0.5  # [rad] rms from slice to slice, beyond which each slice has an offset of its own
_POLARITY_WIDTH = 3  # the polarity phase is smoothed so much more widely than the offset


@method(
    "field",
    host=True,
    source="multi-echo maximum likelihood with region growing and minimum cuts (Bioucas-Dias & Valadao, IEEE Trans "
    "Image Process 2007;16:698); offset as in MCPC-3D-S (Eckstein et al., MRM 2018;79:2996)",
)
def joint(
    echoes,
    mask,
    scan,
    noise_sd=None,
    *,
    offset_mm: Annotated[float, "mm"] = 5.0,
) -> TotalField:
    """Field from complex echoes, wraps included.

    1. The step of the field between two neighbours is the likeliest one given the phase differences of all echoes, in
       which no offset is left. A tree of the surest steps unwraps the growth of the phase between two echoes.
    2. A linear fit separates field and offset. The offset of MRI phase at TE = 0 comes from coils and is smooth: it is
       averaged over offset_mm and held, which makes the field far less noisy than a fit with a free offset, and tells
       fields apart that echo differences cannot.
    3. The field is fitted again to all echoes. Voxels in steep fields, or that do not fit, are solved anew: grown from
       the sure ones with prediction, then shifted in sets by whole turns, by minimum cuts, as long as that helps.

    Weights follow the noise of each phase and what the gradient across the voxel does to it. With alternating readout
    polarity, the smooth phase that the even echoes have in addition is determined and removed first, and so are offsets
    that jump from slice to slice.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
        Two or more.
    mask : (x, y, z) bool
    scan : Scan
    noise_sd : float, optional
        Of the real and of the imaginary part of the echoes; taken from the roughness of the last echo when not given.
    offset_mm : float [mm]
        Standard deviation of the Gaussian that averages the offset. Where the offset is not smooth (open fringes of a
        poor combination), each voxel keeps its own.

    Returns
    -------
    TotalField
        total_field [Hz], 0 outside the mask. field_noise [Hz]: standard deviation from noise, from structure inside the
        voxel, from the field's jump at the surface of tissue, and from the chance that a turn is wrong.
        field_reliability: 1 less that chance, 0 outside the mask. phase_offset [rad]: what was held at TE = 0.

    Raises
    ------
    InputError
        Fewer than two echoes, or an empty mask.

    Notes
    -----
    With two echoes of opposite polarity the polarity phase cannot be told from a field; its constant and linear part
    along the readout are taken out with those of the field, which leaves the local field as it is.
    """
    _check(echoes, mask)
    sd = float(noise_sd) if noise_sd else _roughness(echoes[-1], mask)
    notes = [] if noise_sd else [f"noise sd {sd:.3g} taken from the roughness of the last echo"]
    samples = kernels.joint_samples(kernels.joint_graph(mask), echoes, scan.te_s, sd)
    smooth = _Smoother(mask, scan.voxel_mm, offset_mm)
    of_slice, apart = _between_slices(samples, scan.polarity, mask.shape[2])
    if apart:
        _take_off(samples.phase, of_slice)
        notes.append(f"the phase offset differs by {apart:.2f} rad (rms) from slice to slice; taken out")
    field, region, lapse = _tree(samples, scan.polarity)
    notes += _remove_polarity(samples, scan, field, lapse, smooth)
    offset, n_open = _offset(kernels.joint_linear(samples, field)[:, 0], smooth)
    samples.phase[...] -= offset[:, None]
    if apart:
        offset = np.angle(np.exp(1j * (offset + of_slice)))
    settled = kernels.joint_settle(samples, field, region, lapse, 1e-6 * (scan.f0_hz or _F0_HZ))
    if n_open:
        notes.append(
            f"the phase offset is not smooth in {n_open / len(field):.2%} of the mask; the combination may be poor"
        )
    notes.append(f"{settled.n_doubtful / len(field):.2%} of the voxels were solved anew from their neighbours")
    if n_wrong := int(np.count_nonzero(settled.wrong > _DOUBTFUL)):
        notes.append(f"{n_wrong} voxels may be on a wrong turn (reliability below {1 - _DOUBTFUL:g})")
    del samples, smooth, field, region  # room for the maps
    maps = np.zeros((4, *mask.shape), np.float32)
    for volume, values in zip(maps, (settled.field, np.sqrt(settled.variance), 1 - settled.wrong, offset)):
        volume[mask] = values
    total_field, field_noise, reliability, offset = maps
    return TotalField(total_field, field_noise, Record(notes=tuple(notes)), reliability, offset)


def _check(echoes: Any, mask: Any) -> None:
    if len(echoes) < 2:
        raise InputError("a field needs two echoes, got one; only the magnitude can be mapped")
    if not mask.any():
        raise InputError("the mask is empty, expected at least one voxel; give a mask with --mask")


def _roughness(echo: np.ndarray, mask: np.ndarray) -> float:
    """Noise sd from second differences of the magnitude along the axis that has the least of them; they hold 6 sd²."""
    magnitude, found = np.abs(echo), []
    for axis in range(3):
        before, here, after = ((slice(None),) * axis + (s,) for s in (slice(None, -2), slice(1, -1), slice(2, None)))
        bend = (magnitude[before] - 2 * magnitude[here] + magnitude[after])[mask[before] & mask[here] & mask[after]]
        if bend.size:
            found.append(float(np.median(np.abs(bend))) / (0.6745 * math.sqrt(6)))
    if not found or not min(found) > 0:
        raise InputError("the noise level cannot be told from the echoes; give noise_sd")
    return min(found)


def _closest(te: np.ndarray, polarity: tuple[int, ...]) -> tuple[int, int]:
    """The two echoes of one polarity that lie closest together."""
    pairs = [(a, b) for b in range(te.size) for a in range(b) if polarity[a] == polarity[b]] or [(0, 1)]
    return min(pairs, key=lambda pair: round(te[pair[1]] - te[pair[0]], 7))


def _between_slices(samples: Any, polarity: tuple[int, ...], n_slices: int) -> tuple[Any, float]:
    """By how much the offset of each voxel's slice (third axis) differs from the first one's [rad], and the step's rms.

    Slices that are excited one by one may each have their own, volumes have a smooth one: 0 there. The phase steps from
    slice to slice, averaged over the slice, are led back to TE = 0 by those of two echoes.
    """
    te, above = samples.te_s.astype(np.float64), samples.graph.neighbour[:, 5]
    pair, has = _closest(te, polarity), np.flatnonzero(above >= 0)
    at, sums = samples.graph.voxel % n_slices, []
    for echo in pair:
        signal = np.sqrt(samples.power[:, echo]) * np.exp(1j * samples.phase[:, echo])
        step = signal[above[has]] * signal[has].conj()
        real, imag = (np.bincount(at[has], weights=part, minlength=n_slices) for part in (step.real, step.imag))
        sums.append((real + 1j * imag)[:-1])
    growth = np.angle(sums[1] * sums[0].conj()) * te[pair[0]] / (te[pair[1]] - te[pair[0]])
    steps = np.angle(sums[0] * np.exp(-1j * growth)) * (sums[0] != 0)
    apart = math.sqrt(float((steps**2).mean())) if n_slices > 1 else 0.0
    if apart <= _SLICES_APART:
        return 0, 0.0
    return np.concatenate([[0], np.cumsum(steps)]).astype(np.float32)[at], apart


def _take_off(phase: np.ndarray, of_slice: np.ndarray) -> None:
    """Subtract, in place, to phases within half a turn."""
    for echo in phase.T:
        echo -= of_slice
        echo -= np.float32(_TWO_PI) * np.rint(echo / np.float32(_TWO_PI))


def _tree(samples: Any, polarity: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, float]:
    """A first field [Hz], its regions, and the lapse [s]: all of a region may be off by a multiple of 1/lapse."""
    te = samples.te_s.astype(np.float64)
    first, second = _closest(te, polarity)
    lapse = float(te[second] - te[first])
    reach = 0.5 / min(te[0], np.diff(te).min())
    step, cost = kernels.joint_steps(samples, reach)
    growth = samples.phase[:, second] - samples.phase[:, first]
    growth -= np.float32(_TWO_PI) * np.rint(growth / np.float32(_TWO_PI))
    region = kernels.joint_grow(samples.graph, step, cost, growth, lapse)
    field = growth / np.float32(_TWO_PI * lapse)
    level = 0.0
    for number in np.argsort(-np.bincount(region)[1:], kind="stable") + 1:  # the largest first: it sets the level
        here = region == number
        median = float(np.median(field[here]))
        turns = round((median - level) * lapse)
        if turns:
            field[here] -= np.float32(turns / lapse)
        if level == 0.0:
            level = median - turns / lapse
    return field, region, lapse


class _Smoother:
    """Gaussian average of phasors over the mask."""

    def __init__(self, mask: np.ndarray, voxel_mm: tuple[float, ...], sigma_mm: float):
        lines = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        box = mask[tuple(slice(line[0], line[-1] + 1) for line in lines)]
        self._inside = np.flatnonzero(box)
        self._volume = np.zeros(box.shape, np.float32)
        self._voxel_mm, self._sigma_mm = voxel_mm, sigma_mm

    def __call__(self, phasor: np.ndarray, width: float = 1.0, times: int = 2) -> tuple[np.ndarray, ...]:
        """Phase (n,) of the average, its coherence (1 where all phasors around agree), and their average length.

        Averaged several times, each time what is left over: at the mask's rim the average of the one side that there is
        would miss the slope.
        """
        gaussian = CoarseGaussian(np, self._volume.shape, self._voxel_mm, width * self._sigma_mm)
        average = self._average(gaussian, phasor)
        phase = np.angle(average)
        for _ in range(times - 1):
            average = self._average(gaussian, phasor * np.exp(-1j * phase))
            phase += np.angle(average)
        trust = np.maximum(self._average(gaussian, np.abs(phasor)), np.float32(1e-30))
        return phase, np.abs(average) / trust, trust

    def _average(self, gaussian: CoarseGaussian, values: np.ndarray) -> np.ndarray:
        if np.iscomplexobj(values):
            out = np.empty_like(values)
            out.real, out.imag = self._average(gaussian, values.real), self._average(gaussian, values.imag)
            return out
        self._volume.reshape(-1)[self._inside] = values
        return gaussian(self._volume).reshape(-1)[self._inside]


def _offset(phasor: np.ndarray, smooth: _Smoother) -> tuple[np.ndarray, int]:
    """The smooth phase offset [rad], a voxel's own where neighbours do not agree on one; and how many those are."""
    offset, coherence, trust = smooth(phasor)
    is_open = (coherence < _OPEN) & (trust > 0.5 * np.median(trust))  # dephased voxels are no fringe
    offset[is_open] = np.angle(phasor[is_open])
    return offset, int(np.count_nonzero(is_open))


def _remove_polarity(samples: Any, scan: Any, field: np.ndarray, lapse: float, smooth: _Smoother) -> list[str]:
    """Take from the echoes of the second polarity, in place, the phase that they have in addition."""
    second = np.array(scan.polarity) != scan.polarity[0]
    if not second.any():
        return []
    if samples.te_s.size == 2:
        return [_remove_linear_part(samples, scan, field, lapse)]
    phasors = kernels.joint_linear(samples, field, second.astype(np.int32), dephased_s=2 * lapse)
    length = np.maximum(np.abs(phasors[:, 0]), np.float32(1e-30))
    phase, *_ = smooth(phasors[:, 1] * phasors[:, 0].conj() / length, _POLARITY_WIDTH, times=3)
    # A field that is off by 1/lapse makes a constant polarity phase: take the turn that leaves it nearest to zero.
    mean = float(np.angle(np.exp(1j * phase).mean()))
    per_turn = _TWO_PI * float(samples.te_s[second][0] - samples.te_s[~second][0]) / lapse
    level = float(np.median(field)) * lapse
    cost = lambda k: abs(math.remainder(mean - k * per_turn, _TWO_PI)) + 0.01 * abs(level + k)  # noqa: E731
    turns = min(range(-3, 4), key=cost)
    field += np.float32(turns / lapse)
    phase -= np.float32(turns * per_turn)
    samples.phase[:, second] -= phase[:, None]
    left = math.remainder(mean - turns * per_turn, _TWO_PI)
    return [f"phase between readout polarities removed: {left:.2f} rad on average"]


def _remove_linear_part(samples: Any, scan: Any, field: np.ndarray, lapse: float) -> str:
    """Two echoes: take the constant and the linear part along the readout from field and second echo, in place."""
    at = np.unravel_index(samples.graph.voxel, scan.shape)[scan.readout_axis].astype(np.float64)
    slope, constant = np.polyfit(at, field, 1)
    part = (constant + slope * at).astype(np.float32)
    field -= part
    samples.phase[:, 1] -= np.float32(_TWO_PI * lapse) * part
    return (
        "two echoes of opposite polarity: the constant and the linear part of the field along the readout "
        f"({slope:.2g} Hz per voxel) were removed together with those of the polarity phase"
    )
