"""Geometry and checks of Scan."""

import itertools

import numpy as np
import pytest

from ferritin.errors import HeaderError, ShapeError
from ferritin.scan import Scan


def tilted(degrees):
    t = np.deg2rad(degrees)
    rotation = np.array([[1, 0, 0], [0, np.cos(t), -np.sin(t)], [0, np.sin(t), np.cos(t)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation * (0.7, 0.8, 1.5)
    return affine


def scan(affine=None, **changes):
    options = {
        "te_s": (0.004, 0.012),
        "b0_t": 7.0,
        "affine": np.eye(4) if affine is None else affine,
        "shape": (4, 5, 6),
    }
    return Scan(**options | changes)


def test_b0_of_an_axial_slab_tilted_about_x():
    assert scan(tilted(20)).b0_dir == pytest.approx((0, np.sin(np.deg2rad(20)), np.cos(np.deg2rad(20))))


def test_voxel_sizes_are_the_column_lengths():
    assert scan(tilted(33)).voxel_mm == pytest.approx((0.7, 0.8, 1.5))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_b0_follows_the_array_through_all_48_flips_and_permutations(order, signs):
    affine = tilted(25)
    moved = affine.copy()
    moved[:3, :3] = affine[:3, list(order)] * signs
    expected = np.array(scan(affine).b0_dir)[list(order)] * signs
    assert scan(moved).b0_dir == pytest.approx(tuple(expected))


def test_proton_frequency_gives_hz_per_ppm():
    assert scan().hz_per_ppm == pytest.approx(7 * 42.577478518)
    assert scan(f0_hz=123_263_034.0).hz_per_ppm == pytest.approx(123.263034)


@pytest.mark.parametrize("te", [(0.004, 0.004), (0.012, 0.004), (-0.001, 0.004), (0.0,), (np.nan, 0.004)])
def test_echo_times_must_be_positive_and_increase(te):
    with pytest.raises(HeaderError, match=r"--te-ms"):
        scan(te_s=te)


def test_data_without_echo_times_are_refused():
    with pytest.raises(HeaderError, match="no echo times"):
        scan(te_s=(), data={"echoes": np.zeros((1, 4, 5, 6), np.complex64)})


@pytest.mark.parametrize("b0", [0.0, -3.0, 50.0])
def test_absurd_field_strength_is_refused(b0):
    with pytest.raises(HeaderError, match=r"--b0"):
        scan(b0_t=b0)


def test_unknown_field_strength_is_an_error_only_when_it_is_needed():
    with pytest.raises(HeaderError, match="field strength is not known"):
        scan(b0_t=None).hz_per_ppm  # noqa: B018


def test_polarity_must_name_every_echo():
    with pytest.raises(ShapeError, match=r"--polarity"):
        scan(polarity=(1,))
