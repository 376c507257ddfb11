"""Susceptibility tensor imaging: six maps from the fields of six or more head orientations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.errors import InputError
from ferritin.inversion.orientations import Views
from ferritin.ops.frequency import frequencies, without_nyquist
from ferritin.registry import method
from ferritin.solvers.cg import conjugate_gradients
from ferritin.solvers.stopping import Stopping
from ferritin.stages import Record, SusceptibilityTensor

_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_ROOT2 = np.float32(2**0.5)


@method("orientations", source="Liu C. MRM 2010;63:1471")
def sti(
    local_fields: Any,
    b0_dirs: Any,
    mask: Any,
    scan: Any,
    field_noises: Any = None,
    *,
    solver: Literal["least_squares", "closed_form"] = "least_squares",
    condition: Annotated[float, "1"] = 50.0,
    iterations: int = 30,
    tolerance: Annotated[float, "relative residual"] = 1e-3,
    reference: Literal["mean", "none"] = "mean",
    progress: Any = None,
) -> SusceptibilityTensor:
    """min over symmetric tensors χ inside the mask of Σ_i ‖w_i(bᵢᵀT bᵢ − f_i)‖², T = χ/3 − (kkᵀχ + χkkᵀ)/2 in k-space.

    Parameters
    ----------
    local_fields : (orientation, x, y, z) float32 [Hz]
        Six or more orientations on one grid; `ferritin.align` makes them.
    b0_dirs : (orientation, axis) float64 [1]; B0 along the grid's axes in each.
    mask : (x, y, z) bool; outside, the fields are unknown.
    field_noises : (orientation, x, y, z) float32 [Hz], optional; w is the reciprocal, 0 where the noise is 0.
    solver : "closed_form" fits T in every voxel and divides in k-space, the field outside the mask taken for 0.
    condition : greatest condition number of the fit of T to the orientations that is accepted.

    Returns
    -------
    SusceptibilityTensor
        chi [ppm]: a third of the trace; chi_anisotropy [ppm]: χ1 − (χ2 + χ3)/2 of the principal values in falling
        order; chi_tensor (6, x, y, z) [ppm]: xx, yy, zz, yz, xz, xy along the grid's axes. 0 outside the mask.

    Raises
    ------
    InputError
        There are fewer than six orientations, or they are too much alike.

    Notes
    -----
    With Q = 1 − kkᵀ, T = −2/3 (part along k) − 1/6 (mixed part) + 1/3 (part in Q): none of the three vanishes, so that
    the division needs no threshold, and what noise gains follows from the orientations alone.
    """
    views = Views(local_fields, b0_dirs, mask, scan, field_noises)
    xp = views.xp
    rows = np.array([[(1 if p == q else 2**0.5) * b[p] * b[q] for p, q in _PAIRS] for b in views.directions])
    values = np.linalg.svd(rows, compute_uv=False)
    number = float(values[0] / max(values[-1], 1e-12)) if len(rows) >= 6 else np.inf
    if number > condition:
        raise InputError(
            f"{len(rows)} orientations determine a tensor with a condition number of {number:.3g}, expected six or "
            f"more and {condition:g} or less; add orientations that differ, or raise `condition`"
        )
    fit = _Tensor(views, rows.astype(np.float32))
    if solver == "closed_form":
        tensor, record = fit.divided(), Record()
    else:
        stop = Stopping(iterations, tolerance, progress=progress)
        tensor = fit.fitted(stop)
        record = stop.record()
    tensor *= views.inside
    notes = [f"condition number of the orientations {number:.3g}"]
    if reference == "mean":
        mean = tensor[:3].sum(dtype=np.float64) / (3 * views.inside.sum())
        tensor[:3] -= mean.astype(np.float32) * views.inside
        notes.append("chi is relative to its mean over the mask")
    tensor[3:] /= _ROOT2
    tensor = views.box.place(tensor)
    mean = (tensor[0] + tensor[1] + tensor[2]) / np.float32(3)
    return SusceptibilityTensor(mean, anisotropy(xp, tensor), tensor, replace(record, notes=tuple(notes)))


def anisotropy(xp: Any, tensor: Any) -> Any:
    """χ1 − (χ2 + χ3)/2 of (6, x, y, z) tensors, by the closed form of a cubic's largest root (float64 inside)."""
    xx, yy, zz, yz, xz, xy = (t.astype(np.float64) for t in tensor)
    mean = (xx + yy + zz) / 3
    xx, yy, zz = xx - mean, yy - mean, zz - mean
    size = xp.sqrt((xx * xx + yy * yy + zz * zz + 2 * (yz * yz + xz * xz + xy * xy)) / 6)
    half = (xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)) / 2
    angle = xp.arccos(xp.clip(half / xp.maximum(size**3, 1e-30), -1, 1)) / 3
    return (3 * size * xp.cos(angle)).astype(np.float32)


class _Tensor:
    """The tensors' problem. Maps are (6, x, y, z) with mixed elements times √2, so that T is a symmetric operator."""

    def __init__(self, views: Views, rows: np.ndarray):
        self.views, self.rows, self.shape = views, rows, views.box.shape
        xp = views.xp
        axes = without_nyquist(xp, frequencies(xp, self.shape, views.scan.voxel_mm), self.shape)
        size = xp.sqrt(axes[0] ** 2 + axes[1] ** 2 + axes[2] ** 2)
        size += size == 0
        self.unit = [axis / size for axis in axes]
        self.gram = np.linalg.inv(rows.astype(np.float64).T @ rows).astype(np.float32)

    def forward(self, spectra: list[Any]) -> list[Any]:
        """χ to T: χ/3 − (kuᵀ + ukᵀ)/2, u = χk; 0 at k = 0."""
        u = self._along(spectra)
        out = [s / np.float32(3) for s in spectra]
        self._add(out, u, np.float32(-0.5))
        for element in out:
            element[0, 0, 0] = 0
        return out

    def inverse(self, spectra: list[Any]) -> list[Any]:
        """T to χ: 3T − 9(kuᵀ + ukᵀ) + 13.5 kkᵀ(kᵀu), u = Tk."""
        u = self._along(spectra)
        ku = sum(k * v for k, v in zip(self.unit, u))
        out = [3 * s for s in spectra]
        self._add(out, [v - np.float32(0.75) * ku * k for k, v in zip(self.unit, u)], np.float32(-9))
        return out

    def _along(self, spectra: list[Any]) -> list[Any]:
        """The tensor times k."""
        xx, yy, zz, yz, xz, xy = spectra
        x, y, z = self.unit
        half = 1 / _ROOT2
        return [
            xx * x + half * (xy * y + xz * z), yy * y + half * (xy * x + yz * z), zz * z + half * (xz * x + yz * y)
        ]  # fmt: skip

    def _add(self, spectra: list[Any], u: list[Any], factor: Any) -> None:
        """spectra += factor·(kuᵀ + ukᵀ), in place."""
        for element, (p, q) in zip(spectra, _PAIRS):
            if p == q:
                element += 2 * factor * self.unit[p] * u[p]
            else:
                element += _ROOT2 * factor * (self.unit[p] * u[q] + self.unit[q] * u[p])

    def through(self, operator: Callable[[list[Any]], list[Any]], maps: Any) -> Any:
        """A k-space operator on maps inside the mask, both sides."""
        out = self.views.xp.empty_like(maps)
        for i, spectrum in enumerate(operator([rfftn(m) for m in maps])):
            out[i] = irfftn(spectrum, self.shape)
        return out

    def gathered(self, fields: list[Any]) -> Any:
        """Σ_i fields_i b_i b_iᵀ, the adjoint of reading bᵢᵀT bᵢ."""
        out = self.views.xp.zeros((6, *self.shape), np.float32)
        for row, field in zip(self.rows.tolist(), fields):
            for i, share in enumerate(row):
                out[i] += np.float32(share) * field
        return out

    def divided(self) -> Any:
        """T in every voxel by plain least squares, then the division in k-space; the mean is 0."""
        return self.through(self._without_mean, self._mixed(self.gathered(self.views.fields)))

    def _without_mean(self, spectra: list[Any]) -> list[Any]:
        out = self.inverse(spectra)
        for element in out:
            element[0, 0, 0] = 0
        return out

    def _mixed(self, maps: Any) -> Any:
        """The inverse of Σ b_i b_iᵀ·b_i b_iᵀ, the same in every voxel."""
        gram = self.views.xp.asarray(self.gram)
        return (gram @ maps.reshape(6, -1)).reshape(maps.shape)

    def fitted(self, stop: Stopping) -> Any:
        """Conjugate gradients on the normal equations, the division as preconditioner."""
        views, xp = self.views, self.views.xp

        def normal(x: Any) -> Any:
            t = self.through(self.forward, x)
            seen = []
            for row, weight in zip(self.rows.tolist(), views.weights):
                seen.append(weight * sum(np.float32(share) * t[i] for i, share in enumerate(row)))
            out = self.through(self.forward, self.gathered(seen))
            out *= views.inside
            return out

        def precondition(r: Any) -> Any:
            out = self.through(self.inverse, self._mixed(self.through(self.inverse, r)))
            out *= views.inside
            return out

        rhs = self.through(self.forward, self.gathered([w * f for w, f in zip(views.weights, views.fields)]))
        rhs *= views.inside
        return conjugate_gradients(xp, normal, rhs, stop, precondition=precondition)
