"""Sums over the echoes that read each echo once: the contract of echoes.cuh."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ferritin_kernels import api


class PhaseLine(NamedTuple):
    """Weighted line through unwrapped phase: field and its standard deviation [Hz], offset at TE = 0 [rad]."""

    field: Any
    field_error: Any
    offset: Any


def root_sum_of_squares(echoes: Any, weights: Any = None, *, threads: int | None = None) -> Any:
    """√(Σ w |S|²) over the echoes of (echo, ...) complex64; float32."""
    out = api.namespace(echoes).empty(echoes.shape[1:], np.float32)
    _sum(echoes, range(1, len(echoes) + 1), weights, {"magnitude": out}, False, threads)
    return out


def phase_line(
    echoes: Any,
    unwrapped_phase: Any,
    te_s: Any,
    weights: Any = None,
    *,
    noise_sd: float = 1.0,
    offset: bool = False,
    threads: int | None = None,
) -> PhaseLine:
    """Line φ = offset + 2π f TE by least squares with the weights w |S|², in one pass.

    Parameters
    ----------
    echoes : (echo, ...) complex64
    unwrapped_phase : (echo, ...) float32 [rad]
    te_s : (echo,) [s]
    weights : (echo,), optional
    noise_sd : float [as echoes]
        σ of the real and of the imaginary part: field_error = σ / (2π √(Σ w |S|² (TE - mean TE)²)); infinite where no
        two echoes have signal, and there the field is 0.
    offset : make the map of the offset too
    """
    te = api.check_echoes(echoes, te_s, 2)
    if unwrapped_phase.shape != echoes.shape or unwrapped_phase.dtype != np.float32:
        raise ValueError(
            f"unwrapped_phase is {unwrapped_phase.dtype} {tuple(unwrapped_phase.shape)}, expected float32 "
            f"{tuple(echoes.shape)}"
        )
    xp = api.namespace(echoes)
    maps = {name: xp.empty(echoes.shape[1:], np.float32) for name in ("field", "field_error")}
    maps["offset"] = xp.empty(echoes.shape[1:], np.float32) if offset else None
    arrays = maps | {"unwrapped": api.contiguous("unwrapped_phase", unwrapped_phase)}
    _sum(echoes, te, weights, arrays, True, threads)
    if noise_sd != 1:
        maps["field_error"] *= np.float32(noise_sd)
    return PhaseLine(**maps)


def _sum(echoes: Any, te: Any, weights: Any, arrays: dict[str, Any], line: bool, threads: int | None) -> None:
    if echoes.dtype != np.complex64:
        raise TypeError(f"echoes have dtype {echoes.dtype}, expected complex64; convert them with .astype")
    n_echo = len(echoes)
    table = np.concatenate([np.asarray(te, np.float64), api.check_weights(weights, n_echo, 1)])
    table = api.namespace(echoes).asarray(table.astype(np.float32))
    n_voxel = echoes.size // n_echo
    api.launch(
        "echoes",
        n_voxel,
        {"echoes": api.contiguous("echoes", echoes), "te": table, "weight": table[n_echo:], **arrays},
        {"n_voxel": n_voxel, "n_echo": n_echo},
        defines={"FERRITIN_ECHOES": n_echo, "FERRITIN_LINE": int(line)},
        threads=threads,
    )
