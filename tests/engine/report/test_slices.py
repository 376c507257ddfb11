"""Slices are shown as a radiologist expects, for every order and direction of the array's axes."""

import itertools

import numpy as np
import pytest

from ferritin.report.pictures import outline
from ferritin.report.slices import PLANES, frame_of, obliqueness_deg

VOXEL = np.array((1.0, 1.5, 2.5))
ORIENTATIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def world(order, signs, shape=(7, 8, 9)):
    """An affine whose array axis i runs along world axis order[i], and the world coordinates of the voxels."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for i, (axis, sign) in enumerate(zip(order, signs)):
        affine[axis, i] = sign * VOXEL[i]
    affine[:3, 3] = 10, -20, 30
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return affine, grid @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_right_is_left_front_and_head_are_up(order, signs):
    affine, xyz = world(order, signs)
    frame = frame_of(xyz.shape[:3], affine)
    for plane, across, up in (("axial", 0, 1), ("coronal", 0, 2), ("sagittal", 1, 2)):
        columns = frame.picture(xyz[..., across], plane, 3)
        rows = frame.picture(xyz[..., up], plane, 3)
        assert (np.diff(columns, axis=1) < 0).all()
        assert (np.diff(rows, axis=0) < 0).all()
        normal = 3 - across - up
        positions = frame.picture(xyz[..., normal], plane, 3)
        assert positions == pytest.approx(frame.position_mm(plane, 3))


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::7])
def test_the_box_holds_the_mask_and_sizes_are_in_mm(order, signs):
    affine, xyz = world(order, signs, (20, 22, 24))
    mask = np.zeros(xyz.shape[:3], bool)
    mask[5:9, 6:16, 7:17] = True
    frame = frame_of(mask.shape, affine, mask, margin_mm=0)
    extent = [mask_size * VOXEL[i] for i, mask_size in enumerate((4, 10, 10))]
    by_world = [extent[order.index(axis)] for axis in range(3)]
    assert frame.size_mm("axial") == pytest.approx((by_world[0], by_world[1]))
    assert frame.size_mm("sagittal") == pytest.approx((by_world[1], by_world[2]))
    for plane in PLANES:
        indices = frame.indices(plane, 4)
        assert all(frame.picture(mask, plane, i).all() for i in indices)
        whole = frame.picture(mask, plane, indices[0], whole=True)
        left, top, width, height = frame.view_box(plane)
        assert whole[top : top + height, left : left + width].all()
        assert whole.sum() == width * height


def test_a_single_slice_is_shown_once_in_its_own_plane():
    frame = frame_of((160, 160, 1), np.diag((1.25, 1.25, 4, 1)))
    assert frame.planes() == ["axial"]
    assert frame.indices("axial", 6) == [0]
    assert frame_of((20, 24, 18), np.eye(4)).planes() == list(PLANES)


def test_an_oblique_scan_is_shown_along_the_nearest_axes():
    angle = np.radians(25)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert obliqueness_deg(affine) == pytest.approx(25)
    volume = np.zeros((4, 5, 6))
    volume[3, 4, :] = 1
    assert frame_of(volume.shape, affine).picture(volume, "axial", 2)[0, 0] == 1


def test_slices_are_views_of_the_volume():
    volume = np.zeros((6, 7, 8), np.float32)
    frame = frame_of(volume.shape, np.diag((-1, 1, 1, 1)))
    assert np.shares_memory(frame.picture(volume, "coronal", 2), volume)


def test_an_outline_encloses_the_pixels_of_the_mask():
    mask = np.zeros((10, 12), bool)
    mask[3:7, 2:9] = True
    path = outline(mask)
    assert path.startswith("M")
    assert path.endswith("Z")
    points = np.array([p.split() for p in path[1:-1].split("L")], float)
    assert points.min(axis=0) == pytest.approx((2, 3))
    assert points.max(axis=0) == pytest.approx((9, 7))
    assert outline(np.zeros((4, 4), bool)) == ""
