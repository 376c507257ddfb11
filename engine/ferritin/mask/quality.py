"""Mask by the quality of the phase: where neighbours and echoes agree."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import ferritin_kernels
from ferritin.backend import namespace
from ferritin.mask._shape import close, fill_holes, without_specks
from ferritin.registry import method
from ferritin.stages import Mask, Record


@method("mask", source="voxel quality of ROMEO: Dymerska et al., MRM 2021;85:2294")
def quality(
    echoes,
    scan,
    *,
    threshold: Annotated[float, "1"] = 0.2,
    closing_mm: Annotated[float, "mm"] = 2.0,
    fill: bool = True,
) -> Mask:
    """Mask where the phase can be trusted, dark or bright.

    A voxel's quality is the mean weight of the edges to its neighbours: coherence of the phase, of its gradient between
    two echoes, and of its second difference; 1 is perfect, noise has less than 0.2. It is averaged over the echoes,
    each with the next. The magnitude has no say: iron-rich nuclei stay, the rims of air-filled cavities go. Scalp has
    good phase, too: combine it with a brain's shape, as in "bet & quality".

    Parameters
    ----------
    echoes : (echo, x, y, z) complex64
    scan : Scan
    threshold : float [1]
        Least quality.
    closing_mm : float [mm]
        Radius of the ball that closes gaps.
    fill : bool
        Fill what the mask encloses.

    Returns
    -------
    Mask
    """
    xp = namespace(echoes)
    mean = xp.zeros(echoes.shape[1:], np.float32)
    phase = ferritin_kernels.phase(echoes)
    pairs = [(e, e + 1) for e in range(len(scan.te_s) - 1)] or [(0, None)]
    for e, later in pairs:
        second = {} if later is None else {"second": phase[later], "te_ratio": scan.te_s[e] / scan.te_s[later]}
        mean += ferritin_kernels.romeo_quality(phase[e], **second)
    mean /= np.float32(len(pairs))
    mask = xp.nan_to_num(mean) >= np.float32(threshold)
    mask = without_specks(mask)  # chance makes single voxels of noise agree
    mask = close(mask, closing_mm, scan.voxel_mm)
    return Mask(fill_holes(mask) if fill else mask, Record())
