"""Hermitian product: every echo relative to the first, coil by coil; no coil phase is left."""

from __future__ import annotations

from ferritin.coils._combination import Combination
from ferritin.coils._screening import Screening
from ferritin.registry import method
from ferritin.stages import Echoes, Record


@method("coils", source="Bernstein et al., MRM 1994;32:330, eq. 5")
def hermitian(coil_images, scan, *, progress=None) -> Echoes:
    """Combine coils with the conjugate of their own first echo as weight.

    The phase of echo e is what has grown since echo 1: the phase of echo 1 becomes zero, and that at TE = 0 is minus
    the field's over TE 1, which a fit with a free offset takes up. Nothing is smoothed, so nothing can go wrong beside
    air; the price is that the noise of the first echo is in all others, too.

    Parameters
    ----------
    coil_images : (coil, echo, x, y, z) complex64 [noise sd]
        Whitened; only indexed as coil_images[c, e]. Echoes 1 and 2 are read twice, others once.
    scan : Scan
        One echo or more; one alone keeps no phase.

    Returns
    -------
    Echoes
        Complex echoes; echo 1 is the root of the sum of squares, later echoes have a noise sd of 1 where the first has
        signal, and the first echo's noise on top of it.
    """
    n_coils, n_echoes = coil_images.shape[:2]
    screening, combination = Screening(scan.voxel_mm), None
    for coil in range(n_coils):
        screening.add(coil_images[coil, 0], coil_images[coil, 1] if n_echoes > 1 else None)
    coils, notes = screening.verdict()
    for i, coil in enumerate(coils):
        first = coil_images[coil, 0]
        combination = combination or Combination(coil_images, first)
        combination.add(first, lambda echo: first if echo == 0 else coil_images[coil, echo])  # noqa: B023
        if progress is not None:
            progress(i + 1, len(coils))
    return combination.finished(notes, Record(notes=("phases are relative to echo 1",)))
