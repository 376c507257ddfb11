"""R of a mono-exponential decay in closed form: the contract of closed.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin_kernels import api
from ferritin_kernels.monoexp import Decay

FORMS = {"log_linear": 0, "arlo": 1, "numart": 2}


def closed_form(
    echoes: Any,
    te_s: Any,
    mask: Any = None,
    *,
    form: str = "log_linear",
    noise_sd: float | None = None,
    coils: int = 1,
    max_rate: float = 1000.0,
    threads: int | None = None,
) -> Decay:
    """S0 and R of M(TE) = S0 exp(-R TE) without iterations, each echo read once.

    Parameters
    ----------
    echoes : (echo, ...) float32 magnitude, or complex64 whose magnitude is taken
    te_s : (echo,) [s]
    mask : (...) bool, optional
    form : "log_linear", line through ln M weighted by M², echoes under 3σ left out but for the two strongest;
        "arlo", three or more equally spaced echoes; "numart", difference of the outer echoes over the integral
    noise_sd : float, optional [as echoes]
        σ of the real and of the imaginary part: 2Nσ² is taken off M² first. Without it the error is scaled by the
        residual of the decay, and NaN for two echoes.
    coils : int
        N of a sum-of-squares combination.
    max_rate : float [1/s]

    Returns
    -------
    Decay
        s0 (least squares given the rate), rate, error; floor is None, iterations 0, converged where there was signal.
    """
    te = api.check_echoes(echoes, te_s, 3 if form == "arlo" else 2)
    if form not in FORMS:
        raise ValueError(f"form '{form}' is not known; expected one of {', '.join(FORMS)}")
    api.check_settings(noise_sd, coils, max_rate)
    spacing = np.diff(te)
    if form == "arlo" and np.ptp(spacing) > 1e-3 * spacing.mean():
        raise ValueError(f"ARLO needs equally spaced echoes, got {(1e3 * te).tolist()} ms; use log_linear or a fit")
    xp, shape, span = api.namespace(echoes), tuple(echoes.shape[1:]), te[-1] - te[0]
    out = {name: xp.zeros(shape, np.float32) for name in ("s0", "rate", "error")}
    status = xp.zeros(shape, np.uint8)
    api.launch(
        "closed",
        status.size,
        {
            "echoes": api.contiguous("echoes", echoes),
            "mask": api.check_mask(mask, shape),
            "time": xp.asarray(((te - te[0]) / span).astype(np.float32)),
            "status": status,
            **out,
        },
        {
            "n_voxel": status.size,
            "n_echo": te.size,
            "complex_echoes": echoes.dtype == np.complex64,
            "form": FORMS[form],
            "te1": te[0],
            "span": span,
            "noise_sd": noise_sd or 0.0,
            "coils": coils,
            "max_rate": min(max_rate, 80 / span),
        },
        defines={"FERRITIN_ECHOES": te.size, "FERRITIN_FORM": FORMS[form]},
        threads=threads,
    )
    return Decay(**out, floor=None, iterations=status & 127, converged=status > 127)
