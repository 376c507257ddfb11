"""The box: what is copied comes back, lengths suit the FFT, and crop and place are adjoint."""

import numpy as np
import pytest
import scipy.fft

from ferritin.errors import InputError
from ferritin.ops.box import Box
from properties.adjoint import assert_adjoint


def a_mask():
    mask = np.zeros((40, 30, 21), bool)
    mask[3:18, 10:30, 5:9] = True
    return mask


@pytest.mark.parametrize("rim", [0, 4])
def test_round_trip(rim):
    mask = a_mask()
    volume = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32)
    box = Box.around(mask, (5, 0, 9.3), rim=rim)
    assert np.array_equal(box.place(box.crop(volume * mask)), volume * mask)
    assert np.array_equal(box.place(box.crop(mask)), mask)
    assert all(n % 2 == 0 and scipy.fft.next_fast_len(n, real=True) == n for n in box.shape)
    assert box.shape[0] >= 15 + 5
    assert box.shape[2] >= 4 + 10


def test_margin_is_empty():
    box = Box.around(a_mask(), (6, 6, 6))
    inside = box.crop(a_mask())
    shifted = np.roll(inside, 6, axis=0)
    assert not (shifted & inside)[:6].any()


def test_adjoint():
    rng = np.random.default_rng(1)
    box = Box.around(a_mask(), (4, 4, 4), rim=2)
    x, y = rng.normal(size=a_mask().shape).astype(np.float32), rng.normal(size=box.shape).astype(np.float32)
    assert_adjoint(box.crop, box.place, x, y)


def test_echoes_keep_their_axis():
    box = Box.around(a_mask(), (4, 4, 4))
    assert box.crop(np.zeros((3, *a_mask().shape), np.complex64)).shape == (3, *box.shape)


def test_empty_mask_is_an_error():
    with pytest.raises(InputError, match="mask is empty"):
        Box.around(np.zeros((4, 4, 4), bool), (1, 1, 1))
