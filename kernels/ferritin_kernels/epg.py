"""R2 and refocusing angle of a multi-echo spin echo, by extended phase graphs: the contract of epg.cuh."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ferritin_kernels import api
from ferritin_kernels.meaning.epg import train

MODELS = {"plain": 0, "second": 1}
WHOLE_SLICE = ((1.0, 1.0),)
_ATOMS, _MANY_ATOMS = (20, 8), (64, 24)  # of rate and angle; the many where other angles give nearly the same echoes


class SpinEchoes(NamedTuple):
    """What a fit of a spin-echo train returns; all (voxel axes), 0 where nothing was fitted."""

    s0: Any
    rate: Any
    error: Any
    angle: Any
    iterations: Any
    converged: Any


def epg(
    echoes: Any,
    te_s: Any,
    mask: Any = None,
    *,
    t1_s: float = 1.0,
    profile: tuple[tuple[float, float], ...] = WHOLE_SLICE,
    angles: tuple[float, float] | None = None,
    model: str = "plain",
    noise_sd: float | None = None,
    coils: int = 1,
    weights: Any = None,
    max_rate: float = 1000.0,
    tolerance: float = 1e-4,
    max_iterations: int = 60,
    threads: int | None = None,
) -> SpinEchoes:
    """Fit S0, R2 and the refocusing angle of a Carr-Purcell-Meiboom-Gill train in every voxel.

    The exact phase graph of all orders, from the best atom of a coarse dictionary by Levenberg-Marquardt with exact
    slopes.

    Parameters
    ----------
    echoes : (echo, ...) float32 magnitude, or complex64 whose magnitude is fitted; read in place
    te_s : (echo,) [s], consecutive multiples of the echo spacing
        The first ones may be missing (20, 30, 40 ms): their pulses are followed all the same.
    mask : (...) bool, optional
        Other voxels are not touched and come out 0.
    t1_s : float [s]
        Stored magnetisation decays by it; R2 depends on it weakly.
    profile : ((share of the angle, share of the signal), ...)
        Parts of the slice; one whole slice by default. With more, `angle` is that where the share is 1.
    angles : (least, most) [rad], optional
        Range of the angle; (60°, 180°), or up to 225° with a profile. An angle and its complement to 360° give the same
        echoes, so that without a profile none is above 180°.
    model, noise_sd, coils : noise floor "plain" or "second", as of `monoexp`
        Without noise_sd the standard error is scaled by the fit's residual, and is NaN when no echo is left over.
    weights : (echo,), optional
        Weight of each squared error; 0 leaves an echo out.
    max_rate : float [1/s]
        R2 is kept in [0, max_rate].
    tolerance : float
        A voxel has converged when a step moves R2 times the train's duration, the relative amplitude and 1 + cos of the
        angle by less than this; or R2 by less than ten times this share of its standard error.

    Returns
    -------
    SpinEchoes
        s0 after the excitation [as echoes], rate R2 and its standard error [1/s], refocusing angle [rad], iterations
        (uint8) and converged (bool). A voxel without signal or with NaN is 0 with converged False.
    """
    te = api.check_echoes(echoes, te_s, 3)
    spacing, skip = _spacing(te)
    api.check_settings(noise_sd, coils, max_rate, max_iterations)
    if model not in MODELS:
        raise ValueError(f"model '{model}' is not known; expected one of {', '.join(MODELS)}")
    if model == "second" and not (noise_sd and noise_sd > 0):
        raise ValueError(f"model 'second' needs noise_sd > 0, got {noise_sd}; use 'plain' without it")
    if not t1_s > 0:
        raise ValueError(f"t1_s = {t1_s}, expected above 0 s")
    weight = api.check_weights(weights, te.size, 3)
    parts = tuple((float(a), float(s)) for a, s in profile)
    least, most = _range(angles, len(parts) > 1)
    xp, shape = api.namespace(echoes), tuple(echoes.shape[1:])
    atoms, grid = dictionary(te.size, skip, spacing / t1_s, parts, (least, most), tuple(weight))
    table = xp.asarray(np.concatenate([weight, np.ravel(parts), np.ravel(grid), np.ravel(atoms)]).astype(np.float32))
    ends = np.cumsum([weight.size, 2 * len(parts), grid.size])
    out = {name: xp.zeros(shape, np.float32) for name in ("s0", "rate", "error", "angle")}
    status = xp.zeros(shape, np.uint8)
    by_cosine = len(parts) == 1
    api.launch(
        "epg",
        status.size,
        {
            "echoes": api.contiguous("echoes", echoes),
            "mask": api.check_mask(mask, shape),
            "weight": table,
            "profile": table[ends[0] :],
            "grid": table[ends[1] :],
            "atoms": table[ends[2] :],
            "status": status,
            **out,
        },
        {
            "n_voxel": status.size,
            "n_echo": te.size,
            "n_skip": skip,
            "complex_echoes": echoes.dtype == np.complex64,
            "model": MODELS[model],
            "n_atom": len(grid),
            "n_part": len(parts),
            "max_iterations": min(max_iterations, 127),
            "duration": te[-1],
            "recovery": np.exp(-spacing / t1_s),
            "noise_sd": noise_sd or 0.0,
            "coils": coils,
            "max_rate": min(max_rate, 80 / te[-1]),  # e^-80 is nothing, and e^-87 no float
            "least": 1 + np.cos(most) if by_cosine else least,
            "most": 1 + np.cos(least) if by_cosine else most,
            "farthest": 0.3,
            "tolerance": tolerance,
        },
        defines={
            "FERRITIN_ECHOES": te.size,
            "FERRITIN_SKIP": skip,
            "FERRITIN_MODEL": MODELS[model],
            "FERRITIN_PARTS": int(len(parts) > 1),
        },
        threads=threads,
    )
    return SpinEchoes(**out, iterations=status & 127, converged=status > 127)


def _spacing(te: np.ndarray) -> tuple[float, int]:
    """Echo spacing [s], and how many echoes of the train come before the first that was measured."""
    spacing = (te[-1] - te[0]) / (te.size - 1)
    skip = round(te[0] / spacing) - 1
    if skip < 0 or np.abs(te - spacing * np.arange(skip + 1, skip + 1 + te.size)).max() > 0.02 * spacing:
        raise ValueError(
            f"echo times {np.round(1e3 * te, 3).tolist()} ms are not consecutive multiples of one spacing, as a train "
            "of refocusing pulses gives; use a mono-exponential fit"
        )
    return spacing, skip


def _range(angles: tuple[float, float] | None, parts: bool) -> tuple[float, float]:
    least, most = angles or (np.pi / 3, 1.25 * np.pi if parts else np.pi)
    if not 0 < least < most <= (2 * np.pi if parts else np.pi * (1 + 1e-6)):
        raise ValueError(f"angles ({least:.3g}, {most:.3g}) rad must rise between 0 and π (2π with a profile)")
    return least, min(most, 2 * np.pi if parts else np.pi)


@cache
def dictionary(
    n: int,
    skip: int,
    spacing_per_t1: float,
    profile: tuple[tuple[float, float], ...],
    angles: tuple[float, float],
    weight: tuple[float, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Where fits start: atoms (block, echo, 4) to multiply the echoes with, and (atom, 3) of rate, angle, amplitude.

    The atom of the largest product has the least weighted squares. Rates are in units of the inverse duration of the
    train, angles as the kernel's parameter; amplitude times the product is S0.
    """
    pulses, parts = n + skip, len(profile) > 1
    rates, count = _MANY_ATOMS if parts or skip or not all(weight) else _ATOMS
    spread = np.linspace(*angles, count) if parts else _spread(*angles, count)
    rate, angle = np.meshgrid(np.geomspace(0.05, 2.5 * pulses, rates), spread)
    rate, angle = rate.ravel(), angle.ravel()
    signal = abs(train(rate / pulses, angle, pulses, 1.0, 1 / spacing_per_t1, profile)[skip:].T)
    norm = np.sqrt(signal**2 @ np.array(weight))[:, None]
    x = angle if parts else 1 + np.cos(angle)
    atoms = np.array(weight) * signal / norm
    return atoms.reshape(-1, 4, n).transpose(0, 2, 1), np.column_stack([rate, x, 1 / norm[:, 0]])


def _spread(least: float, most: float, count: int) -> np.ndarray:
    """Angles between which the echoes change about equally."""
    return np.arccos(np.cos(most) + (np.cos(least) - np.cos(most)) * np.linspace(0, 1, count) ** 1.5)
