"""The brain's surface: cerebrum with folded cortex, cerebellum with its leaves, brainstem, and the space around it.

Sulci are the surfaces where a random field is zero, drawn towards the middle of the brain from its hull and ended at a
depth that varies; grey matter lies along every surface that fluid reaches. Coordinates: RAS mm, about those of MNI.
"""

from __future__ import annotations

import numpy as np

from ferritin.phantom.shape import Shape, capsule, ellipsoid, smooth_max, smooth_min, tube, union
from ferritin.phantom.waves import Waves

CENTRE, RADII = (0.0, -17.0, 12.0), (66.0, 85.0, 64.0)
_MAIN = ellipsoid(CENTRE, RADII, power=2.3)
_TEMPORAL = union(
    ellipsoid((45, -16, -20), (22, 40, 24)), ellipsoid((-45, -16, -20), (22, 40, 24)), blend=1
)  # fmt: skip
BRAINSTEM = tube([(0, -22, -6), (0, -25, -18), (0, -27, -32), (0, -38, -56), (0, -43, -90)], [13, 13, 14, 8, 6.5], 6)
CEREBELLUM = union(
    ellipsoid((24, -63, -37), (31, 29, 22), power=2.2), ellipsoid((-24, -63, -37), (31, 29, 22), power=2.2),
    ellipsoid((0, -63, -30), (12, 23, 20)), blend=4,
)  # fmt: skip
_CORD = capsule((0, -42, -70), (0, -42, -130), 9, 8)


def hull(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Signed distance to the cerebrum as if it had no folds."""
    base = np.float32(-20) + np.float32(0.14) * np.maximum(-y - 20, 0)  # over the orbits, rising over the cerebellum
    upper = smooth_max(_MAIN.distance(x, y, z), base - z, 8)
    return smooth_min(upper, _TEMPORAL.distance(x, y, z), 5)


CEREBRUM = Shape(hull, (-71, -107, -46), (71, 74, 80))


def inside_skull(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Signed distance to the inner table of the skull: a smooth envelope of all that lies in it."""
    brain = smooth_min(hull(x, y, z), CEREBELLUM.distance(x, y, z), 16)
    brain = smooth_min(brain, BRAINSTEM.distance(x, y, z), 14) - np.float32(2.2)
    return smooth_min(brain, _CORD.distance(x, y, z), 8)


class Cortex:
    """Depth below the folded surface of cerebrum and cerebellum, for one random head."""

    thickness_mm = 2.7

    def __init__(self, rng: np.random.Generator) -> None:
        self.primary = Waves(rng, (26, 40), 32)
        self.secondary = Waves(rng, (13, 19), 32)
        self.depth = Waves(rng, (30, 60), 12)
        self.leaves = Waves(rng, (18, 40), 12)
        self.wander = [Waves(rng, (22, 45), 8) for _ in range(3)]

    def cerebrum(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Depth [mm] below the pial surface at points; negative in fluid."""
        below = -hull(x, y, z)
        fissure = self._fissure(x, y, z)
        sylvian = self._sylvian(x, y, z + 2 * self.leaves.at(x, y, z))
        outer = np.minimum(below, fissure)
        pial = np.minimum(outer, sylvian)
        folds = (outer > -1) & (outer < 27)
        if folds.any():
            p = [a[folds] for a in (x, y, z)]
            p = [a + np.float32(2.2) * w.at(*p) for a, w in zip(p, self.wander)]  # sulci are not flat
            pial[folds] = np.minimum(pial[folds], self._sulci(*p, outer[folds], fissure[folds] < below[folds]))
        return pial

    def _sulci(self, x, y, z, outer, medial):
        """Distance to the nearest sulcus; `outer` is the depth below the unfolded surface.

        Sulci run towards the brain's middle, those of the wall between the hemispheres (`medial`) straight sideways.
        """
        radial = [(a - np.float32(c)) / np.float32(r) for a, c, r in zip((x, y, z), CENTRE, RADII)]
        shrink = np.maximum(np.sqrt(sum(a * a for a in radial)), np.float32(0.2))
        surface = [a / shrink * np.float32(r) for a, r in zip(radial, RADII)]
        surface = [np.where(medial, wall, a) for wall, a in zip((np.copysign(np.float32(90), x), y, z), surface)]
        shrink[medial] = 1
        vary = self.depth.at(*surface)
        opening = np.float32(0.25) + np.float32(0.6) * np.exp(-np.maximum(outer, 0) / 3)
        nearest = None
        for field, depth, spread in ((self.primary, 21, 5), (self.secondary, 11, 4)):
            aside = field.distance_to_zero(*surface) * shrink
            ending = np.maximum(outer - (np.float32(depth) + np.float32(spread) * vary), 0)
            sheet = np.sqrt(aside * aside + ending * ending) - opening
            nearest = sheet if nearest is None else np.minimum(nearest, sheet)
        return nearest

    @staticmethod
    def _fissure(x, y, z):
        """Distance to the cleft between the hemispheres; the corpus callosum and what is below it bridge it."""
        core = np.hypot((y + 16) / np.float32(44), (z - 2) / np.float32(26))
        below = np.maximum(1 - core, 0) * np.float32(28)
        below = np.where(z < -4, np.maximum(below, -4 - z), below)
        return np.sqrt(x * x + below * below) - np.float32(0.9)

    @staticmethod
    def _sylvian(x, y, z):
        """Distance to the lateral fissure, and to the insula at its bottom."""
        u = np.abs(x)
        plane = (z + 6 + np.float32(0.42) * y) / np.float32(1.085)
        medial = np.maximum(37 - u, 0)
        ends = np.maximum(np.maximum(-48 - y, y - 24), 0)
        return np.sqrt(plane * plane + medial * medial + ends * ends) - np.float32(1.6)

    def cerebellum(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Depth [mm] below the surface of the cerebellum's leaves, which fan out from the fourth ventricle."""
        below = -CEREBELLUM.distance(x, y, z)
        dy, dz = y + 46, z + 34
        radius = np.hypot(dy, dz)
        wave = self.leaves.at(x, y, z)
        turn = np.arctan2(dz, -dy) * np.float32(26) + np.float32(1.5) * wave + np.float32(0.04) * np.abs(x)
        spacing = np.float32(5.5)
        number = np.round(turn / spacing)
        aside = np.abs(turn - number * spacing) * radius / np.float32(26)
        depth = np.where(number % 3 == 0, np.float32(13), np.float32(6)) + 2 * wave
        ending = np.maximum(below - depth, 0)
        return np.minimum(below, np.sqrt(aside * aside + ending * ending) - np.float32(0.3))
