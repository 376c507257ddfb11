"""High-pass filter: the field minus its Gaussian average over the mask. For pictures of the field, not for chi."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np

from ferritin.backend import irfftn, namespace, rfftn
from ferritin.errors import ParameterError
from ferritin.ops.box import Box
from ferritin.ops.frequency import frequencies
from ferritin.registry import method
from ferritin.stages import LocalField


@method("background", source="Wang Y, et al. JMRI 2000;12:661 (high-pass phase); normalised to the mask (own)")
def highpass(total_field: Any, mask: Any, scan: Any, *, sigma_mm: Annotated[float, "mm"] = 8.0) -> LocalField:
    """f − G(f·M)/G(M), G a Gaussian of standard deviation sigma_mm.

    It removes structures wider than about 3 sigma with the background; susceptibility maps need another method.

    Parameters
    ----------
    total_field : (x, y, z) float32 [Hz]
    mask : (x, y, z) bool
    """
    if not sigma_mm > 0:
        raise ParameterError(f"highpass sigma_mm = {sigma_mm}, expected above 0; the default is 8")
    xp = namespace(total_field)
    box = Box.around(mask, tuple(3 * sigma_mm / v for v in scan.voxel_mm))
    inside = box.crop(mask)
    field = box.crop(total_field) * inside
    k2 = sum(k * k for k in frequencies(xp, box.shape, scan.voxel_mm))
    gauss = xp.exp(np.float32(-2 * math.pi**2 * sigma_mm**2) * k2)
    share = irfftn(rfftn(inside.astype(np.float32)) * gauss, box.shape)
    average = irfftn(rfftn(field) * gauss, box.shape)
    local = (field - average / xp.maximum(share, np.float32(1e-3))) * inside
    return LocalField(box.place(local), box.place(inside))
