"""What lies inside the brain: ventricles, corpus callosum, hippocampus, and nine grey nuclei on each side.

Places and sizes are those of an average adult in MNI coordinates [mm], rounded. One side is given.
"""

from __future__ import annotations

from ferritin.phantom.shape import Shape, capsule, ellipsoid, tube, union

_CALLOSUM = tube(
    [(0, 22, -4), (0, 27, 4), (0, 22, 16), (0, 8, 23), (0, -14, 26), (0, -32, 22), (0, -39, 13), (0, -36, 9)],
    [2.5, 4.5, 4, 3, 3, 3, 5, 4],
    3,
)

MIDDLE: tuple[tuple[str, Shape], ...] = (
    ("white_matter", _CALLOSUM),
    ("csf", ellipsoid((0, -12, 0), (2.2, 14, 9))),
    ("csf", capsule((0, -30, -9), (0, -38, -22), 1.3)),
    ("csf", ellipsoid((0, -43, -30), (8, 6, 10), pitch=20)),
)
"""On the midline: corpus callosum, third ventricle, aqueduct, fourth ventricle; in the order of drawing."""

SIDE: tuple[tuple[str, Shape], ...] = (
    ("white_matter", capsule((0, 24, 8), (14, 34, 12), 5, 6)),
    ("white_matter", capsule((0, -38, 14), (18, -50, 16), 5, 7)),
    ("white_matter", capsule((0, -8, 26), (18, -8, 28), 3, 6)),
    ("white_matter", capsule((14, -26, -16), (22, -44, -30), 7, 8)),
    ("grey_matter", tube([(22, -8, -20), (27, -18, -17), (29, -30, -9), (24, -38, -1)], [5, 5, 4, 3], 2)),
    ("grey_matter", ellipsoid((22, -3, -18), (7.5, 7.5, 7))),
    ("csf", tube([(9, 28, 2), (9, 18, 9), (10, 2, 17), (13, -16, 21), (18, -30, 19), (23, -42, 13), (24, -62, 9)],
                 [3, 4.2, 3.6, 3.4, 4.2, 6.2, 2.2], 4)),
    ("csf", tube([(23, -42, 12), (31, -38, 0), (32, -22, -13), (30, -10, -19)], [5, 3, 1.8, 1.8], 3)),
    ("csf", capsule((1.5, 2, 4), (8, 5, 8), 1.4, 1.8)),
    ("caudate", union(
        ellipsoid((13.5, 14, 5), (5.2, 9.5, 8.5), yaw=12),
        tube([(14, 8, 11), (16, -6, 19), (19, -20, 22), (26, -32, 19)], [4.5, 3.2, 2.4, 1.6], 2), blend=3)),
    ("putamen", ellipsoid((27, 3, 0), (5.6, 16.5, 11.5), yaw=13)),
    ("globus_pallidus", ellipsoid((21, -2.5, -1), (3.0, 10.5, 7.6), yaw=22)),
    ("globus_pallidus", ellipsoid((15.2, -5, -2.2), (2.7, 7.4, 5.4), yaw=26)),
    ("thalamus", ellipsoid((11.8, -19, 8), (8.2, 15, 9.6), yaw=24)),
    ("red_nucleus", ellipsoid((5.2, -20, -9), (3.3, 3.7, 4.2))),
    ("substantia_nigra", ellipsoid((10.2, -17.5, -13), (2.5, 8, 3.2), yaw=35, pitch=10)),
    ("subthalamic_nucleus", ellipsoid((11.2, -13, -7), (2.4, 4.6, 2.2), yaw=35)),
    ("white_matter", ellipsoid((16, -58, -36), (9, 11, 8))),
    ("dentate", ellipsoid((15, -58, -35), (6.5, 8.5, 5.2), yaw=25)),
    ("white_matter", ellipsoid((13.2, -56, -35), (3.6, 5.6, 2.4), yaw=25)),
)  # fmt: skip
"""One side, in the order of drawing. Nuclei: caudate, putamen, outer and inner pallidum, thalamus, red nucleus,
substantia nigra, subthalamic nucleus, dentate (a shell around its white hilum)."""


def bodies() -> list[tuple[str, Shape]]:
    """All of them with their tissue's name: callosum and ventricles of the midline first, then side by side."""
    out = list(MIDDLE)
    for tissue, shape in SIDE:
        out += [(tissue, shape), (tissue, shape.mirrored())]
    return out
