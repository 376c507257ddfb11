"""Complex multi-echo fit: the contract of complexfit.cuh."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ferritin_kernels import api
from ferritin_kernels.dephasing import Gradient, arguments


class ComplexDecay(NamedTuple):
    """What a complex fit returns; all (voxel axes), 0 where nothing was fitted, None where not asked for."""

    s0: Any
    rate: Any
    rate_error: Any
    field: Any
    field_error: Any
    offset: Any
    bipolar: Any
    residual: Any
    iterations: Any
    converged: Any


MAPS = ComplexDecay._fields[:8]


def complexfit(
    echoes: Any,
    te_s: Any,
    mask: Any = None,
    unwrapped_phase: Any = None,
    *,
    maps: tuple[str, ...] = ("s0", "rate", "rate_error", "field", "field_error", "offset", "residual"),
    bipolar: bool = False,
    polarity: Any = None,
    noise_sd: float | None = None,
    weights: Any = None,
    gradient: Gradient | None = None,
    max_rate: float = 1000.0,
    tolerance: float = 1e-4,
    max_iterations: int = 60,
    threads: int | None = None,
) -> ComplexDecay:
    """Fit S(TE) = S0 exp(-R TE) exp(i(offset + 2π f TE)) in every voxel, by Levenberg-Marquardt.

    The noise of complex echoes is Gaussian: there is no floor to correct.

    Parameters
    ----------
    echoes : (echo, ...) complex64; read in place
    te_s : (echo,) [s], increasing, any spacing
    mask : (...) bool, optional
    unwrapped_phase : (echo, ...) float32 [rad], optional
        A weighted line through it is the start. Without it the phase is unwrapped in time from the first two echoes,
        which a field beyond 1/(2 (TE2 - TE1)) aliases.
    maps : names of the maps to make, of ComplexDecay
    bipolar : bool
        Fit also the phase ± bipolar of echoes read out forwards and backwards; five unknowns, three echoes or more.
    polarity : (echo,) of +1 and -1; alternating when not given
    noise_sd : float, optional [as echoes]
        σ of the real and of the imaginary part; without it errors are scaled by the fit's residual.
    weights, gradient, max_rate, tolerance, max_iterations : as in `monoexp`

    Returns
    -------
    ComplexDecay
        s0 [as echoes], rate and rate_error [1/s], field and field_error [Hz], offset and bipolar [rad, in [-π, π]],
        residual: root of the squared residual over the squared signal; iterations (uint8), converged (bool).
    """
    te = api.check_echoes(echoes, te_s, 3 if bipolar else 2)
    if echoes.dtype != np.complex64:
        raise TypeError(f"echoes have dtype {echoes.dtype}, expected complex64; the phase is fitted too")
    if unwrapped_phase is not None and (unwrapped_phase.shape != echoes.shape or unwrapped_phase.dtype != np.float32):
        raise ValueError(
            f"unwrapped_phase is {unwrapped_phase.dtype} {tuple(unwrapped_phase.shape)}, expected float32 "
            f"{tuple(echoes.shape)}"
        )
    maps = tuple(dict.fromkeys((*maps, "bipolar"))) if bipolar else maps
    unknown = set(maps) - set(MAPS)
    if unknown or ("bipolar" in maps and not bipolar):
        raise ValueError(f"maps {sorted(unknown or {'bipolar'})} cannot be made; choose of {', '.join(MAPS)}")
    api.check_settings(noise_sd, 1, max_rate, max_iterations)
    weight = api.check_weights(weights, te.size, 3 if bipolar else 2)
    signs = np.asarray((-1.0) ** np.arange(te.size) if polarity is None else polarity, np.float64)
    if signs.shape != te.shape or (bipolar and len(set(signs.tolist())) != 2):
        raise ValueError(f"polarity {signs.tolist()} must be {te.size} numbers, +1 and -1 both among them")
    xp, shape = api.namespace(echoes), tuple(echoes.shape[1:])
    out = {name: xp.zeros(shape, np.float32) if name in maps else None for name in MAPS}
    status = xp.zeros(shape, np.uint8)
    arrays, numbers = arguments(gradient, shape)
    span = te[-1] - te[0]
    table = xp.asarray(np.concatenate([(te - te[0]) / span, weight, signs]).astype(np.float32))
    api.launch(
        "complexfit",
        status.size,
        {
            "echoes": api.contiguous("echoes", echoes),
            "unwrapped": None if unwrapped_phase is None else api.contiguous("unwrapped_phase", unwrapped_phase),
            "mask": api.check_mask(mask, shape),
            "time": table,
            "weight": table[te.size :],
            "polarity": table[2 * te.size :],
            "status": status,
            **out,
            **arrays,
        },
        {
            **numbers,
            "n_voxel": status.size,
            "n_echo": te.size,
            "max_iterations": min(max_iterations, 127),
            "te1": te[0],
            "span": span,
            "noise_sd": noise_sd or 0.0,
            "max_rate": min(max_rate, 80 / span),  # e^-80 is nothing, and e^-87 no float
            "tolerance": tolerance,
        },
        defines={"FERRITIN_ECHOES": te.size, "FERRITIN_BIPOLAR": int(bipolar), "FERRITIN_GRADIENT": int(bool(arrays))},
        threads=threads,
    )
    return ComplexDecay(**out, iterations=status & 127, converged=status > 127)
