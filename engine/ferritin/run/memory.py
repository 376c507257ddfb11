"""What a run will need at its peak, so that one that cannot fit is refused before it starts."""

from __future__ import annotations

from ferritin.errors import MemoryLimitError
from ferritin.scan import Scan

_BASE = 0.6 * 2**30
_BYTES_PER_VOXEL_ECHO = 60


def expected_peak(scan: Scan) -> int:
    """Upper bound [bytes] of the host memory that a reconstruction of the scan takes. Coils do not enter.

    0.6 GiB for the libraries and blocks, and 60 bytes for each voxel of each echo (at least four echoes' worth, for
    the inversion's volumes); bench/results/end_to_end.json holds measured peaks.
    """
    x, y, z = scan.shape
    return int(_BASE + _BYTES_PER_VOXEL_ECHO * x * y * z * max(scan.n_echoes, 4))


def require(scan: Scan, limit: int | None) -> None:
    """Raise MemoryLimitError when the scan is expected to need more than `limit` bytes."""
    needed = expected_peak(scan)
    if limit is not None and needed > limit:
        raise MemoryLimitError(
            f"{scan.shape} voxels x {scan.n_echoes} echoes need up to {needed / 2**30:.1f} GiB, "
            f"--memory allows {limit / 2**30:.1f} GiB; raise it, or ask for less with --until"
        )
