"""LSMR: least squares by Golub-Kahan bidiagonalisation, with a falling norm of the normal equations' residual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferritin.solvers.reduction import dot, ratio
from ferritin.solvers.stopping import Stopping


def lsmr(xp: Any, forward: Callable[[Any], Any], adjoint: Callable[[Any], Any], data: Any, stop: Stopping) -> Any:
    """x that minimises ‖forward(x) − data‖, from x = 0; `stop` watches ‖adjoint(residual)‖ relative to its start.

    data: real float32 array.

    References
    ----------
    Fong DCL, Saunders M. SIAM J Sci Comput 2011;33:2950, algorithm LSMR.
    """
    u, beta = _unit(xp, data.copy())
    v, alpha = _unit(xp, adjoint(u))
    start = alpha * beta
    if not float(start) > 0:  # nothing to explain
        stop.step(0.0)
        return xp.zeros_like(v)
    zeta_bar, alpha_bar = start, alpha
    rho, rho_bar, c_bar, s_bar = 1.0, 1.0, 1.0, 0.0
    h, h_bar, x = v.copy(), xp.zeros_like(v), xp.zeros_like(v)
    while True:
        u *= _f32(-alpha)
        u += forward(v)
        u, beta = _unit(xp, u)
        v *= _f32(-beta)
        v += adjoint(u)
        v, alpha = _unit(xp, v)
        rho_old, rho_bar_old = rho, rho_bar
        rho = (alpha_bar**2 + beta**2) ** 0.5
        c, s = alpha_bar / rho, beta / rho
        theta, alpha_bar = s * alpha, c * alpha
        theta_bar, scaled = s_bar * rho, c_bar * rho
        rho_bar = (scaled**2 + theta**2) ** 0.5
        c_bar, s_bar = scaled / rho_bar, theta / rho_bar
        zeta, zeta_bar = c_bar * zeta_bar, -s_bar * zeta_bar
        h_bar *= _f32(-theta_bar * rho / (rho_old * rho_bar_old))
        h_bar += h
        x += _f32(zeta / (rho * rho_bar)) * h_bar
        h *= _f32(-theta / rho)
        h += v
        if stop.step(abs(zeta_bar) / start if stop.due else None):
            return x


def _unit(xp: Any, x: Any) -> tuple[Any, Any]:
    """x over its norm, in place, and the norm; a zero vector stays."""
    norm = dot(xp, x, x) ** 0.5
    x *= ratio(norm * 0 + 1, norm)
    return x, norm


def _f32(value: Any) -> Any:
    """A scalar that multiplies float32 volumes without widening them."""
    return ratio(value, value * 0 + 1)
