"""Where the samples of a line lie along kx, and whether that can be: a wrong centre makes rubbish without a word."""

from __future__ import annotations

import math

import numpy as np

from ferritin.errors import HeaderError
from ferritin.io.header import Encoding
from ferritin.scan import Finding

KIND = ["samples", "reversed", "center", "discard_pre", "discard_post"]
"""Columns of the table of acquisitions that say it."""
_LEAST_EXTENT, _LEAST_SIDE = 0.4, 0.04


def reach(n_samples: int, head: np.void) -> tuple[int, int, int]:
    """First sample that counts, the one after the last, and the centre of the echo, all in forward order.

    A reversed line is flipped, so its centre sample c comes to n - 1 - c. Without a centre it is the middle.
    """
    centre = int(head["center"])
    first, stop = int(head["discard_pre"]), n_samples - int(head["discard_post"])
    if head["reversed"]:
        first, stop = n_samples - stop, n_samples - first
        return first, stop, n_samples - 1 - centre if centre else n_samples // 2
    return first, stop, centre or n_samples // 2


def checked(table: np.ndarray, encoding: Encoding, name: str) -> list[Finding]:
    """Findings on the readout of imaging lines (their rows of the table), one for each kind of line.

    Raises HeaderError when the middle of k-space is not among the samples or at their end, when they are too few for
    the matrix, and when oversampling was removed from the samples but not from encodedSpace.
    """
    findings = []
    n = encoding.encoded.matrix[0]
    n_cropped = round(n * encoding.recon.fov_mm[0] / encoding.encoded.fov_mm[0])
    for kind, count in zip(*np.unique(table[KIND], return_counts=True)):
        first, stop, centre = reach(int(kind["samples"]), kind)
        before, after = centre - first, stop - 1 - centre
        lines = f"{name}: {count} of {len(table)} lines have samples {first} to {stop - 1} around centre {centre}"
        if before < 0 or after < 0:
            raise HeaderError(f"{lines}, which is not among them; mend center_sample, discard_pre and discard_post")
        if abs(before - after) <= 1 and stop - first == n_cropped < n:
            raise HeaderError(
                f"{lines}, {n} are expected from encodedSpace: oversampling seems to be removed; mend encodedSpace to "
                f"{n_cropped} steps and the field of view of reconSpace along x"
            )
        used = min(before, n // 2) + 1 + min(after, n - n // 2 - 1)
        if used < _LEAST_EXTENT * n:
            raise HeaderError(
                f"{lines}, expected at least {100 * _LEAST_EXTENT:.0f} % of the {n} of encodedSpace; mend "
                "center_sample or encodedSpace"
            )
        least = min(math.ceil(_LEAST_SIDE * n), (n - 1) // 2)
        if min(before, after) < least:
            raise HeaderError(f"{lines}, expected at least {least} on both sides of it; mend center_sample")
        lacks = n // 2 - before, n - n // 2 - 1 - after
        # An asymmetric echo lacks one side only; one too many on the other side comes from reversed lines.
        if min(lacks) > 0 or (max(lacks) > 1 and min(lacks) < -1 - _LEAST_SIDE * n):
            findings.append(Finding(
                f"{count} of {len(table)} lines have {before} samples before and {after} after their centre, "
                f"{n // 2} and {n - n // 2 - 1} are encoded",
                "the others are zero: check encodedSpace and center_sample",
            ))  # fmt: skip
    return findings
