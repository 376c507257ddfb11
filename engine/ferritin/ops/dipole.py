"""The magnetic dipole: the field [ppm] that a susceptibility map [ppm] makes, Lorentz sphere removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ferritin.ops.frequency import frequencies, without_nyquist
from ferritin.ops.slabs import each, slabs
from ferritin.ops.sweep import Part, filtered, twice

Triple = tuple[int, int, int]


def dipole_kernel(xp: Any, shape: Triple, voxel_mm: tuple[float, ...], b0_dir: tuple[float, ...]) -> Any:
    """Half spectrum of the dipole kernel, D(k) = 1/3 - (k·b)²/|k|², D(0) = 0.

    Parameters
    ----------
    shape : voxels of the box, of which the result holds the half spectrum of `rfftn`.
    voxel_mm : voxel edges [mm].
    b0_dir : unit vector of B0 along the array's axes; any angle.

    Returns
    -------
    (x, y, z//2+1) float32 [1]

    Notes
    -----
    With B0 oblique, D jumps between +k and -k at the Nyquist planes. The sample there is their mean: a real kernel,
    whose reflection in any axis is the kernel of the reflected B0.

    References
    ----------
    Salomir R, et al. Concepts Magn Reson B 2003;19:26. Marques JP, Bowtell R. Concepts Magn Reson B 2005;25:65.
    """
    part = dipole_parts(xp, shape, voxel_mm, b0_dir)
    kernel = xp.empty((*shape[:2], shape[2] // 2 + 1), np.float32)

    def fill(s: slice) -> None:
        part((s, slice(None)), kernel[s])

    each(fill, slabs(xp, kernel.shape))
    return kernel


def dipole_parts(
    xp: Any, shape: Triple, voxel_mm: tuple[float, ...], b0_dir: tuple[float, ...]
) -> Callable[[Part], Any]:
    """`dipole_kernel` for those who need each part of it once: a function of the slices along x and y, and `out`."""
    k = frequencies(xp, shape, voxel_mm)
    odd = without_nyquist(xp, k, shape)
    b = [np.float32(c) for c in b0_dir]
    even = [c * c * (full * full - o * o) for c, full, o in zip(b, k, odd)]
    squares = [full * full for full in k]
    squares[0][0] = np.float32(1e-30)  # D(0) is set below; nothing is divided by 0
    along = [c * o for c, o in zip(b, odd)]

    def part(at: Part, out: Any = None) -> Any:
        def total(terms: list[Any]) -> Any:
            return (terms[0][at[0]] + terms[1][:, at[1]]) + terms[2]

        kernel = xp.add(along[0][at[0]] + along[1][:, at[1]], along[2], out=out)
        kernel *= kernel
        kernel += total(even)
        kernel /= total(squares)
        xp.subtract(np.float32(1 / 3), kernel, out=kernel)
        if not at[0].start and not at[1].start:
            kernel[0, 0, 0] = 0
        return kernel

    return part


class Dipole:
    """Convolution with the dipole kernel on one box: self-adjoint, norm at most 2/3.

    Call it on a map in space; `kernel` is its half spectrum for methods that stay in k-space.
    """

    def __init__(self, xp: Any, shape: Triple, scan: Any):
        self.shape = tuple(shape)
        self.kernel = dipole_kernel(xp, self.shape, scan.voxel_mm, scan.b0_dir)

    def __call__(self, chi: Any) -> Any:
        """Field [ppm] of chi [ppm], both (x, y, z) float32 on the box."""
        return filtered(chi, self.shape, self._work)

    def normal(self, chi: Any, weigh: Callable[[slice, Any], None]) -> Any:
        """D·W·D chi; `weigh(s, field)` multiplies the field at the planes s by W in place."""
        return twice(chi, self._work, weigh)

    def _work(self, spectrum: Any, part: Part) -> None:
        spectrum *= self.kernel[part]

    adjoint = __call__
