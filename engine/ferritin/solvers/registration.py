"""Rigid registration of two images by their intensities, coarse to fine. Works on host arrays."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ferritin.errors import InputError

_LEVELS_MM = (8.0, 4.0, 2.0)
_SEARCH_DEG = (-40.0, -20.0, 0.0, 20.0, 40.0)
_LEAST_SMOOTHING = 0.8  # voxels: less, and interpolation between noisy voxels prefers some shifts to others
_STEPS = 25
_STILL = 1e-3  # mm at 100 mm from the centre


@dataclass(frozen=True)
class Match:
    """What a registration found.

    transform : (4, 4) float64 [mm]
        World coordinates of the fixed image to those of the moving one; a rotation and a shift.
    correlation : of both images where they overlap.
    """

    transform: np.ndarray
    correlation: float

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation [degrees]."""
        return float(np.degrees(Rotation.from_matrix(self.transform[:3, :3]).magnitude()))


def register(fixed: np.ndarray, fixed_affine: np.ndarray, moving: np.ndarray, moving_affine: np.ndarray) -> Match:
    """Find the rotation and shift that bring one image onto another.

    Parameters
    ----------
    fixed, moving : (x, y, z) real
        Magnitudes of one contrast; their scale may differ. The head should be wholly inside both.
    fixed_affine, moving_affine : (4, 4) [mm]

    Returns
    -------
    Match

    Notes
    -----
    Gauss-Newton on the squared difference after the best linear map of the intensities, at 8, 4 and 2 mm; the first
    guess is the best of 125 rotations up to 40° about each axis, with the centres of mass on each other.

    References
    ----------
    Lucas BD, Kanade T. IJCAI 1981:674. Thévenaz P, et al. IEEE Trans Image Process 1998;7:27.
    """
    images = []
    for name, image, affine in (("fixed", fixed, fixed_affine), ("moving", moving, moving_affine)):
        scale = float(np.percentile(image, 99))
        if not np.isfinite(scale) or scale <= 0:
            raise InputError(f"the {name} image has no signal (99th percentile {scale}); give a magnitude image")
        images.append(_Image(np.asarray(image, np.float32) / np.float32(scale), np.asarray(affine, float)))
    one, other = images
    pose = _search(one, other)
    for spacing in _LEVELS_MM:
        pose, correlation = _refine(one.points(spacing), other.level(spacing), pose)
    return Match(pose.matrix(), correlation)


@dataclass
class _Pose:
    """x ↦ rotation (x − centre) + centre + shift."""

    rotation: Rotation
    centre: np.ndarray
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.rotation.apply(points - self.centre) + self.centre + self.shift

    def moved(self, step: np.ndarray) -> _Pose:
        """After a further small turn (rotation vector, rad) and shift [mm] in the moving image's space."""
        return _Pose(Rotation.from_rotvec(step[:3]) * self.rotation, self.centre, self.shift + step[3:])

    def matrix(self) -> np.ndarray:
        out = np.eye(4)
        out[:3, :3] = self.rotation.as_matrix()
        out[:3, 3] = self.centre + self.shift - out[:3, :3] @ self.centre
        return out


class _Image:
    """An image with its affine, seen at several resolutions."""

    def __init__(self, values: np.ndarray, affine: np.ndarray):
        self.values, self.affine = values, affine
        self.voxel = np.linalg.norm(affine[:3, :3], axis=0)
        weight = np.maximum(values, 0)
        index = np.array([(weight.sum(axis=o) * np.arange(n)).sum() for o, n in zip(_OTHERS, values.shape)])
        self.centre = affine[:3, :3] @ (index / weight.sum()) + affine[:3, 3]

    def level(self, spacing: float) -> _Level:
        """Smoothed to a spacing [mm]."""
        sigma = np.maximum(0.5 * spacing / self.voxel, _LEAST_SMOOTHING)
        smooth = ndimage.gaussian_filter(self.values, sigma, mode="constant")
        return _Level(smooth, np.linalg.inv(self.affine))

    def points(self, spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """World coordinates (n, 3) [mm] of a grid of about this spacing, and the smoothed values there."""
        step = np.maximum(np.round(spacing / self.voxel), 1).astype(int)
        values = self.level(spacing).values[tuple(slice(s // 2, None, s) for s in step)]
        index = np.stack(
            np.meshgrid(*(np.arange(s // 2, n, s) for s, n in zip(step, self.values.shape)), indexing="ij"), axis=-1
        )
        return index.reshape(-1, 3) @ self.affine[:3, :3].T + self.affine[:3, 3], values.reshape(-1)


_OTHERS = ((1, 2), (0, 2), (0, 1))


class _Level:
    """A smoothed image that is read at world coordinates."""

    def __init__(self, values: np.ndarray, inverse: np.ndarray):
        self.values, self.inverse = values, inverse
        self._gradient: list[np.ndarray] = []

    def at(self, points: np.ndarray) -> np.ndarray:
        index = points @ self.inverse[:3, :3].T + self.inverse[:3, 3]
        return ndimage.map_coordinates(self.values, index.T, order=1, mode="constant")

    def slopes(self, points: np.ndarray) -> np.ndarray:
        """Gradient in world coordinates (n, 3) [1/mm]."""
        index = (points @ self.inverse[:3, :3].T + self.inverse[:3, 3]).T
        self._gradient = self._gradient or np.gradient(self.values)
        parts = [ndimage.map_coordinates(g, index, order=1, mode="constant") for g in self._gradient]
        return np.stack(parts, axis=1) @ self.inverse[:3, :3]


def _search(one: _Image, other: _Image) -> _Pose:
    """The best of some rotations, the centres of mass on each other."""
    points, values = one.points(2 * _LEVELS_MM[0])
    level = other.level(2 * _LEVELS_MM[0])
    poses = [
        _Pose(Rotation.from_euler("xyz", angles, degrees=True), one.centre, other.centre - one.centre)
        for angles in itertools.product(_SEARCH_DEG, repeat=3)
    ]
    return max(poses, key=lambda pose: np.corrcoef(values, level.at(pose(points)) + 1e-12 * values)[0, 1])


def _refine(fixed: tuple[np.ndarray, np.ndarray], moving: _Level, pose: _Pose) -> tuple[_Pose, float]:
    """Damped Gauss-Newton steps; a step that does not raise the correlation is taken back."""
    points, values = fixed
    seen = moving.at(pose(points))
    best, damping = _correlation(values, seen), 1e-3
    for _ in range(_STEPS):
        slope, offset = np.polyfit(seen, values, 1)
        at = pose(points)
        slopes = slope * moving.slopes(at)
        arm = at - pose.centre - pose.shift
        jacobian = np.concatenate((np.cross(arm, slopes), slopes), axis=1)
        normal = jacobian.T @ jacobian
        residual = values - slope * seen - offset
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), jacobian.T @ residual)
        new = pose.moved(step)
        seen_new = moving.at(new(points))
        found = _correlation(values, seen_new)
        if found > best:
            pose, seen, best, damping = new, seen_new, found, damping / 5
        else:
            damping *= 10
        if 100 * np.abs(step[:3]).max() + np.abs(step[3:]).max() < _STILL or damping > 1e3:
            break
    return pose, best


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b + 1e-12 * a)[0, 1])
