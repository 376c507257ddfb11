"""R2 from multi-echo spin echoes: extended phase graphs, and exponentials that ignore stimulated echoes."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np

import ferritin_kernels
from ferritin.errors import InputError, ParameterError, as_input_error
from ferritin.registry import method
from ferritin.relax.record import record_of
from ferritin.stages import Record, TransverseRelaxation

_REFOCUSING_DEG = 180.0


@method(
    "r2",
    source="Hennig J. J Magn Reson 1988;78:397; Weigel M. J Magn Reson Imaging 2015;41:266, eq. 15 to 18; "
    "Levenberg-Marquardt from a dictionary, as Lebel RM, Wilman AH. MRM 2010;64:1005",
)
def epg(
    echoes: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    *,
    t1_s: Annotated[float, "s"] = 1.0,
    refocusing_deg: Annotated[float | None, "degrees"] = None,
    first_echo: Literal["keep", "drop"] = "keep",
    slice_profile: Literal["none", "gaussian"] = "none",
    refocusing_width: Annotated[float, "1"] = 1.0,
    noise: Literal["auto", "plain", "second"] = "auto",
    coils: Annotated[int, "1"] = 1,
    max_rate: Annotated[float, "1/s"] = 1000.0,
    tolerance: Annotated[float, "1"] = 1e-4,
    max_iterations: int = 60,
) -> TransverseRelaxation:
    """Fit R2 and the refocusing angle of a Carr-Purcell-Meiboom-Gill train in every voxel of the mask.

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64, three or more, at consecutive multiples of the echo spacing
        Only the magnitude is used.
    mask : (x, y, z) bool
    noise_sd : float, optional [as echoes]
        Noise sd of the real and of the imaginary part.
    t1_s : of all tissue; halving it moves R2 by about a hundredth.
    refocusing_deg : nominal refocusing angle; from the scan's header, or 180°.
    first_echo : "drop" leaves the first echo out of the fit; the train is followed from its first pulse all the same.
    slice_profile : "gaussian" sums the echoes over a slice excited and refocused by Gaussian profiles.
    refocusing_width : full width at half maximum of the refocusing profile over that of the exciting one.
    noise : "second": E[M²] = m² + 2Nσ²; "plain": m; "auto": "second" when the noise sd is known.
    coils : number N of coils in a sum-of-squares combination.
    max_rate : R2 is kept between 0 and this.
    tolerance, max_iterations : as of `ferritin_kernels.epg`.

    Returns
    -------
    TransverseRelaxation
        r2 and its standard error r2_se [1/s], b1: the angle found over the nominal one; 0 outside the mask. Angles
        above 180° make the same echoes as their complement to 360°, and are reported as that (without slice_profile).
    """
    if not refocusing_width > 0:
        raise ParameterError(f"refocusing_width = {refocusing_width}, expected above 0; 1 for equal profiles")
    nominal = _nominal(refocusing_deg, scan)
    gaussian = slice_profile == "gaussian"
    fit = _fit(
        ferritin_kernels.epg, echoes, scan, mask,
        t1_s=t1_s, profile=gaussian_slice(refocusing_width) if gaussian else ferritin_kernels.WHOLE_SLICE,
        weights=_weights(first_echo, scan, 3), model=_model(noise, noise_sd), noise_sd=noise_sd, coils=coils,
        max_rate=max_rate, tolerance=tolerance, max_iterations=max_iterations,
    )  # fmt: skip
    b1 = fit.angle * np.float32(1 / nominal)
    return TransverseRelaxation(fit.rate, fit.error, b1, record_of(fit, mask, _notes(noise_sd), "R2"))


@method("r2", source="Levenberg-Marquardt; noise floor as of r2star.nonlinear", name="nonlinear")
def r2_nonlinear(
    echoes: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    *,
    first_echo: Literal["keep", "drop"] = "drop",
    noise: Literal["auto", "plain", "second", "first", "floor"] = "auto",
    coils: Annotated[int, "1"] = 1,
    max_rate: Annotated[float, "1/s"] = 1000.0,
    tolerance: Annotated[float, "1"] = 1e-4,
    max_iterations: int = 60,
) -> TransverseRelaxation:
    """R2 of a mono-exponential decay; wrong where the refocusing angle is not 180°.

    The first echo lacks the stimulated echoes that the later ones have, and is left out by default: with it, R2 is a
    tenth too small at angles of 110 to 180°. Parameters as of `epg` and `r2star.nonlinear`; b1 is None.
    """
    model = _model(noise, noise_sd)
    fit = _fit(
        ferritin_kernels.monoexp, echoes, scan, mask, model=model, noise_sd=noise_sd, coils=coils,
        weights=_weights(first_echo, scan, 3 if model == "floor" else 2), max_rate=max_rate, tolerance=tolerance,
        max_iterations=max_iterations,
    )  # fmt: skip
    return TransverseRelaxation(fit.rate, fit.error, None, record_of(fit, mask, _notes(noise_sd), "R2"))


@method("r2", source="Weighted least squares of ln M, weights M²: Bevington & Robinson, ch. 6", name="log_linear")
def r2_log_linear(
    echoes: Any,
    mask: Any,
    scan: Any,
    noise_sd: float | None = None,
    *,
    coils: Annotated[int, "1"] = 1,
    max_rate: Annotated[float, "1/s"] = 1000.0,
) -> TransverseRelaxation:
    """R2 as the slope of ln M on TE over all echoes; too small where the refocusing angle is not 180°. b1 is None."""
    fit = _fit(
        ferritin_kernels.closed_form, echoes, scan, mask, form="log_linear", noise_sd=noise_sd, coils=coils,
        max_rate=max_rate,
    )  # fmt: skip
    notes = record_of(fit._replace(iterations=fit.converged), mask, _notes(noise_sd), "R2").notes
    return TransverseRelaxation(fit.rate, fit.error, None, Record(notes=notes))


def gaussian_slice(width: float, parts: int = 11) -> tuple[tuple[float, float], ...]:
    """(Share of the refocusing angle, share of the signal) of the parts of a slice with Gaussian angle profiles.

    Excitation by 90° in the middle, full width at half maximum 1; refocusing with `width`.
    """
    place = [2 * (k + 0.5) / parts - 1 for k in range(parts)]
    excited = [math.sin(math.pi / 2 * 2 ** (-4 * z * z)) for z in place]
    return tuple((2 ** (-4 * (z / width) ** 2), e / sum(excited)) for z, e in zip(place, excited))


def _fit(kernel: Any, echoes: Any, scan: Any, mask: Any, **options: Any) -> Any:
    """The kernel's fit; what it says of the echo times is said as an input error."""
    with as_input_error():
        return kernel(echoes, scan.te_s, mask, **options)


def _nominal(refocusing_deg: float | None, scan: Any) -> float:
    """Nominal refocusing angle [rad]."""
    angle = scan.provenance.get("refocusing_deg") or _REFOCUSING_DEG if refocusing_deg is None else refocusing_deg
    if not 0 < float(angle) <= 360:
        raise ParameterError(f"refocusing_deg = {angle}, expected above 0 and up to 360 degrees; 180 is usual")
    return math.radians(float(angle))


def _model(noise: str, noise_sd: float | None) -> str:
    return ("second" if noise_sd else "plain") if noise == "auto" else noise


def _weights(first_echo: str, scan: Any, fewest: int) -> list[float] | None:
    if first_echo == "keep":
        return None
    if scan.n_echoes <= fewest:
        raise InputError(
            f"first_echo = drop leaves {scan.n_echoes - 1} of {scan.n_echoes} echoes, and the fit needs {fewest}; set "
            "first_echo to keep, or give more echoes"
        )
    return [0.0] + [1.0] * (scan.n_echoes - 1)


def _notes(noise_sd: float | None) -> tuple[str, ...]:
    return () if noise_sd else ("the noise level is not known: the standard error comes from the fit's residual",)
