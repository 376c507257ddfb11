"""The magnetic dipole: the field [ppm] that a susceptibility map [ppm] makes, Lorentz sphere removed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferritin.backend import irfftn, rfftn
from ferritin.ops.frequency import frequencies, without_nyquist
from ferritin.ops.slabs import each, multiply, slabs

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
    k = frequencies(xp, shape, voxel_mm)
    odd = without_nyquist(xp, k, shape)
    b = [np.float32(c) for c in b0_dir]
    even = [c * c * (full * full - o * o) for c, full, o in zip(b, k, odd)]
    kernel = xp.empty((*shape[:2], shape[2] // 2 + 1), np.float32)

    def fill(s: slice) -> None:
        along = b[0] * odd[0][s] + b[1] * odd[1] + b[2] * odd[2]
        along *= along
        along += even[0][s] + (even[1] + even[2])
        size = k[0][s] ** 2 + k[1] ** 2 + k[2] ** 2
        if s.start == 0:
            size[0, 0, 0] = 1
        along /= size
        xp.subtract(np.float32(1 / 3), along, out=kernel[s])

    each(fill, slabs(xp, kernel.shape))
    kernel[0, 0, 0] = 0
    return kernel


class Dipole:
    """Convolution with the dipole kernel on one box: self-adjoint, norm at most 2/3.

    Call it on a map in space; `kernel` is its half spectrum for methods that stay in k-space.
    """

    def __init__(self, xp: Any, shape: Triple, scan: Any):
        self.shape = tuple(shape)
        self.kernel = dipole_kernel(xp, self.shape, scan.voxel_mm, scan.b0_dir)

    def __call__(self, chi: Any) -> Any:
        """Field [ppm] of chi [ppm], both (x, y, z) float32 on the box."""
        spectrum = rfftn(chi)
        multiply(spectrum, self.kernel)
        return irfftn(spectrum, self.shape)

    adjoint = __call__
