"""Rigid registration of simulated heads: known turns and shifts, other grids and contrasts."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ferritin.errors import InputError
from ferritin.solvers.registration import register

AFFINE = np.diag((4.0, 4.0, 4.0, 1.0))
AFFINE[:3, 3] = -90
UPRIGHT = np.eye(4)


def image(affine, shape, turn=UPRIGHT):
    """A head of ellipsoids, seen on a grid after a rigid map of its own space into the grid's; no engine code."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    x, y, z = np.linalg.inv(turn)[:3, :3] @ (world - turn[:3, 3]).T
    out = np.zeros(len(index))
    for value, centre, radii in (
        (0.7, (0, 0, 0), (62, 78, 66)),
        (-0.4, (12, 10, 8), (9, 26, 12)),
        (-0.4, (-12, 10, 8), (9, 26, 12)),
        (0.3, (30, -30, 10), (12, 14, 10)),
        (0.25, (-25, 20, -30), (16, 10, 12)),
        (-0.3, (0, 50, -20), (10, 8, 14)),
    ):
        r = sum(((a - c) / d) ** 2 for a, c, d in zip((x, y, z), centre, radii))
        out += value * np.clip(6 * (1.05 - np.sqrt(r)), 0, 1)
    return out.reshape(shape).astype(np.float32)


def rigid(angles, shift):
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    out[:3, 3] = shift
    return out


@pytest.mark.parametrize(
    ("angles", "shift"), [((3, -2, 1), (4, 2, -3)), ((35, 10, -12), (8, -10, 6)), ((0, 0, 0), (0, 0, 0))]
)
def test_a_known_turn_is_found(angles, shift):
    truth, rng = rigid(angles, shift), np.random.default_rng(0)
    fixed, moving = (image(AFFINE, (45, 47, 45), t) for t in (np.eye(4), truth))
    noisy = 500 * moving + 10 * rng.normal(size=moving.shape)
    match = register(fixed + 0.02 * rng.normal(size=fixed.shape), AFFINE, noisy, AFFINE)
    points = np.array([(x, y, z, 1) for x in (-50, 50) for y in (-50, 50) for z in (-50, 50)]).T
    assert np.abs(match.transform @ points - truth @ points).max() < 0.5
    assert match.correlation > 0.97


def test_grids_may_differ():
    """Another voxel size, an oblique grid and a field of view that lies elsewhere."""
    truth = rigid((-18, 7, 5), (3, 4, -6))
    other = rigid((10, 0, 20), (0, 0, 0)) @ np.diag((2.5, 3.5, 4.0, 1.0))
    other[:3, 3] = other[:3, :3] @ (-np.array((40, 32, 26)))
    fixed, moving = image(AFFINE, (45, 47, 45)), image(other, (80, 64, 52), truth)
    match = register(fixed, AFFINE, moving, other)
    points = np.array([(x, y, z, 1) for x in (-50, 50) for y in (-50, 50) for z in (-50, 50)]).T
    assert np.abs(match.transform @ points - truth @ points).max() < 0.6
    assert match.angle_deg == pytest.approx(np.degrees(Rotation.from_matrix(truth[:3, :3]).magnitude()), abs=0.5)


def test_uneven_sensitivity_shifts_little():
    truth = rigid((12, -6, 3), (2, 0, 5))
    fixed, moving = (image(AFFINE, (45, 47, 45), t) for t in (np.eye(4), truth))
    shade = ndimage.zoom(np.array([[[0.8, 1.0], [1.1, 0.9]], [[1.0, 1.2], [0.9, 1.0]]]), 23, order=1)[:45, :, :45]
    shade = np.pad(shade, ((0, 0), (0, 1), (0, 0)), mode="edge")
    match = register(fixed * shade, AFFINE, moving * shade[::-1], AFFINE)
    points = np.array([(x, 0, 0, 1) for x in (-50, 50)]).T
    assert np.abs(match.transform @ points - truth @ points).max() < 2.0


def test_an_empty_image_is_refused():
    with pytest.raises(InputError, match="no signal"):
        register(image(AFFINE, (45, 47, 45)), AFFINE, np.zeros((9, 9, 9)), AFFINE)
