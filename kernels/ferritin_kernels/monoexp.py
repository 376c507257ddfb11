"""Mono-exponential decay of the magnitude, S0 exp(-R TE): the contract of monoexp.cuh, and its meaning in numpy."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln, hyp1f1

from ferritin_kernels import api
from ferritin_kernels.dephasing import Gradient, arguments

MODELS = {"plain": 0, "second": 1, "first": 2, "floor": 3}
_MOMENTS = 9


class Decay(NamedTuple):
    """What a mono-exponential fit returns; all (voxel axes), 0 where nothing was fitted."""

    s0: Any
    rate: Any
    error: Any
    floor: Any
    iterations: Any
    converged: Any


def monoexp(
    echoes: Any,
    te_s: Any,
    mask: Any = None,
    *,
    model: str = "plain",
    noise_sd: float | None = None,
    coils: int = 1,
    weights: Any = None,
    gradient: Gradient | None = None,
    max_rate: float = 1000.0,
    tolerance: float = 1e-4,
    max_iterations: int = 60,
    threads: int | None = None,
) -> Decay:
    """Fit S0 and the rate R of M(TE) = S0 exp(-R TE) in every voxel, by Levenberg-Marquardt.

    Parameters
    ----------
    echoes : (echo, ...) float32 magnitude, or complex64 whose magnitude is fitted; read in place
    te_s : (echo,) [s], increasing, any spacing
    mask : (...) bool, optional
        Other voxels are not touched and come out 0.
    model : what the expected magnitude is for a noise-free signal m
        "plain": m. "second": E[M²] = m² + 2Nσ², quasi-likelihood with var[M²] = 4σ²(m² + Nσ²).
        "first": E[M] of the Rice (N = 1) or non-central χ distribution. "floor": √(m² + C²), C a third unknown.
    noise_sd : float, optional
        σ of the real and of the imaginary part of each coil, in units of the echoes. "second" and "first" need it.
        Without it the standard error is scaled by the fit's residual, and is NaN when no echo is left over.
    coils : int
        N of a sum-of-squares combination; 1 for complex-combined echoes.
    weights : (echo,), optional
        Weight of each squared error; 0 leaves an echo out.
    gradient : Gradient, optional
        Correct for the field's gradient across the voxel; voxel axes must then be (x, y, z).
    max_rate : float [1/s]
        Rates are kept in [0, max_rate].
    tolerance : float
        A voxel has converged when a step moves the rate times the span of the echo times, and the relative amplitude,
        by less than this; or by less than ten times this share of the standard error.

    Returns
    -------
    Decay
        s0 [as echoes], rate and its standard error [1/s], floor C [as echoes] (None unless asked for),
        iterations (uint8) and converged (bool). A voxel without signal or with NaN is 0 with converged False.
    """
    xp = api.namespace(echoes)
    te = api.check_echoes(echoes, te_s, 3 if model == "floor" else 2)
    api.check_settings(noise_sd, coils, max_rate, max_iterations)
    if model not in MODELS:
        raise ValueError(f"model '{model}' is not known; expected one of {', '.join(MODELS)}")
    if model in ("second", "first") and not (noise_sd and noise_sd > 0):
        raise ValueError(f"model '{model}' needs noise_sd > 0, got {noise_sd}; use 'plain' or 'floor' without it")
    weight = api.check_weights(weights, te.size, 3 if model == "floor" else 2)
    shape = tuple(echoes.shape[1:])
    out = {name: xp.zeros(shape, np.float32) for name in ("s0", "rate", "error")}
    out["floor"] = xp.zeros(shape, np.float32) if model == "floor" else None
    out["status"] = xp.zeros(shape, np.uint8)
    arrays, numbers = arguments(gradient, shape)
    knee, moment = moment_polynomial(coils)
    time = (te - te[0]) / (te[-1] - te[0])
    table = xp.asarray(np.concatenate([time, _new_steps(time), weight, moment]).astype(np.float32))
    api.launch(
        "monoexp",
        out["s0"].size,
        {
            "echoes": api.contiguous("echoes", echoes),
            "mask": api.check_mask(mask, shape),
            "time": table,
            "step": table[te.size :],
            "weight": table[2 * te.size :],
            "moment": table[3 * te.size :],
            **out,
            **arrays,
        },
        {
            **numbers,
            "n_voxel": out["s0"].size,
            "n_echo": te.size,
            "complex_echoes": echoes.dtype == np.complex64,
            "model": MODELS[model],
            "max_iterations": min(max_iterations, 127),
            "te1": te[0],
            "span": te[-1] - te[0],
            "noise_sd": noise_sd or 0.0,
            "coils": coils,
            "moment_knee": knee,
            "max_rate": min(max_rate, 80 / (te[-1] - te[0])),  # e^-80 is nothing, and e^-87 no float
            "tolerance": tolerance,
        },
        defines={"FERRITIN_ECHOES": te.size, "FERRITIN_MODEL": MODELS[model], "FERRITIN_GRADIENT": int(bool(arrays))},
        threads=threads,
    )
    status = out.pop("status")
    return Decay(**out, iterations=status & 127, converged=status > 127)


def _new_steps(time: np.ndarray) -> np.ndarray:
    """Spacing before each echo where it is a new one, else 0: equal spacings share an exponential."""
    steps, last = np.diff(time, prepend=time[0]), 0.0
    for e, step in enumerate(steps):
        steps[e] = 0.0 if abs(step - last) < 1e-6 else step
        last = steps[e] or last
    return steps


def mean_magnitude(signal: Any, coils: int = 1) -> Any:
    """E[M] / σ of N coils' sum of squares when the noise-free magnitude is `signal` (in σ); Rice for N = 1.

    √(π/2) (2N-1)!!/(2^(N-1) (N-1)!) 1F1(-1/2, N, -A²/2σ²): Constantinides et al., MRM 1997;38:852.
    """
    scale = np.sqrt(2) * np.exp(gammaln(coils + 0.5) - gammaln(coils))
    x = np.asarray(signal, np.float64)
    series = scale * hyp1f1(-0.5, coils, -(np.minimum(x, 30 * np.sqrt(coils)) ** 2) / 2)
    y = np.maximum(x, 1.0) ** 2
    return np.where(x < 30 * np.sqrt(coils), series, np.sqrt(y + 2 * coils - 1 - (2 * coils - 1) / 2 / y))


@cache
def moment_polynomial(coils: int) -> tuple[float, np.ndarray]:
    """(knee, coefficients) of c(t), t = x/(x + knee), so that E[M]² = m² + σ² c at x = m²/σ². Error below 1e-4.

    c falls from E[M]² at no signal to 2N - 1, so that it is a tame function where E[M] itself is not.
    """
    knee = 3.0 * coils
    t = 0.5 - 0.4999 * np.cos(np.linspace(0, np.pi, 400))
    x = knee * t / (1 - t)
    c = mean_magnitude(np.sqrt(x), coils) ** 2 - x
    return knee, np.polynomial.Polynomial.fit(t, c, _MOMENTS - 1, domain=[0, 1], window=[0, 1]).coef
