"""Outside the brain: scalp, skull, face, eyes, and the air in sinuses, nose and ear canals."""

from __future__ import annotations

import numpy as np

from ferritin.phantom.shape import Shape, capsule, ellipsoid, smooth_max, smooth_min, tube, union

LOW, HIGH = (-90.0, -126.0, -90.0), (90.0, 108.0, 97.0)
"""A box around the whole head [mm]."""

_JAW = ellipsoid((0, 36, -70), (58, 54, 52), power=2.3)
_NOSE = union(capsule((0, 80, -20), (0, 93, -46), 8, 10), ellipsoid((0, 88, -50), (17, 13, 9)), blend=8)
_NECK = capsule((0, -28, -70), (0, -40, -130), 60, 56)
_EARS = union(*(ellipsoid((s * 78, -27, -34), (5, 17, 22), yaw=s * 20) for s in (1, -1)))
_BOTTOM = np.float32(-88)


def skin(cavity: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Signed distance to the skin, from that to the inner table; the head ends in a flat cut below the skull's base."""
    head = smooth_min(cavity - 12, _JAW.distance(x, y, z), 26)
    head = smooth_min(head, _NECK.distance(x, y, z), 24)
    head = smooth_min(head, _NOSE.distance(x, y, z), 10)
    head = smooth_min(head, _EARS.distance(x, y, z), 4)
    return smooth_max(head, _BOTTOM - z, 8)


def outer_table(cavity: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Signed distance to the outer table of the skull, which thickens at the base."""
    return cavity - np.float32(6.6) - np.clip((-z - 10) / 25, 0, 1) * np.float32(3)


_MIDDLE: tuple[tuple[str, Shape], ...] = (
    ("bone", tube([(46, 8, -78), (40, 46, -88), (0, 76, -90), (-40, 46, -88), (-46, 8, -78)], [6, 6, 6, 6, 6])),
    ("bone", ellipsoid((0, 16, -38), (18, 16, 13))),
    ("bone", ellipsoid((0, 42, -36), (13, 26, 10), power=2.5)),
    ("bone", ellipsoid((0, 46, -60), (15, 36, 17), power=2.4)),
)
_SIDE: tuple[tuple[str, Shape], ...] = (
    ("bone", ellipsoid((30, 48, -28), (22, 26, 20))),
    ("fat", ellipsoid((31, 50, -28), (19.5, 25, 17.5))),
    ("muscle_skin", ellipsoid((31, 40, -28), (6, 20, 6))),
    ("csf", ellipsoid((31, 63, -28), (12, 12, 12))),
    ("muscle_skin", ellipsoid((31, 71.5, -28), (5, 2.2, 5))),
    ("bone", ellipsoid((29, 40, -61), (15, 18, 18), power=2.4)),
    ("bone", ellipsoid((58, -28, -38), (17, 22, 14))),
    ("air", ellipsoid((12, 78.5, 1), (10, 4.2, 12), yaw=12)),
    ("air", ellipsoid((29, 40, -61), (13, 16, 16), power=2.4)),
    ("air", tube([(86, -22, -46), (72, -20, -44), (52, -18, -41)], [6, 3.4, 3.4], 2)),
    ("air", ellipsoid((50, -20, -38), (5, 6, 6))),
)
_AIR: tuple[tuple[str, Shape], ...] = (
    ("air", ellipsoid((0, 16, -38), (14, 12, 9))),
    ("air", ellipsoid((0, 42, -36), (11, 22, 8), power=2.5)),
    ("air", ellipsoid((0, 46, -60), (13, 33, 14), power=2.4)),
    ("air", tube([(0, 12, -60), (0, 2, -76), (0, -6, -112)], [9, 8, 9], 4)),
    ("bone", ellipsoid((0, 46, -58), (1.3, 33, 15))),
)
_TURBINATES: tuple[tuple[str, Shape], ...] = (("muscle_skin", ellipsoid((7.5, 44, -66), (2.6, 22, 5))),)


def bodies() -> list[tuple[str, Shape]]:
    """Face and air spaces with their tissues, in the order of drawing."""
    return [*_MIDDLE, *_both(_SIDE), *_AIR, *_both(_TURBINATES)]


def _both(shapes) -> list[tuple[str, Shape]]:
    return [pair for tissue, shape in shapes for pair in ((tissue, shape), (tissue, shape.mirrored()))]
