"""The default mask: BET for whole heads, signal for everything else, and the rule is told."""

import numpy as np
import pytest

from ferritin.mask import bet, brain, signal
from ferritin.scan import Scan
from heads import dice, head


def test_a_whole_head_gets_bets_mask():
    echoes, scan, truth, _ = head()
    mask, record = brain(echoes, scan, 1.0)
    np.testing.assert_array_equal(mask, bet(echoes, scan, 1.0).mask)
    assert dice(mask, truth) > 0.97
    assert record.notes == ()


def bottles(shape=(60, 60, 40)):
    """Two cylinders in air, 2 mm voxels."""
    x, y, _ = np.meshgrid(*(2.0 * (np.arange(n) - n / 2) for n in shape), indexing="ij")
    inside = ((x - 27) ** 2 + y**2 < 20**2) | ((x + 27) ** 2 + y**2 < 16**2)
    rng = np.random.default_rng(0)
    echoes = 50 * inside + rng.normal(size=(2, 2, *shape)).T.reshape(2, *shape, 2) @ (1, 1j)
    return echoes.astype(np.complex64), Scan((0.004, 0.008), 3.0, np.diag([2.0, 2, 2, 1]), shape), inside


def crop():
    rng = np.random.default_rng(1)
    shape = (40, 44, 42)
    echoes = 40 + rng.normal(size=(2, *shape)) + 1j * rng.normal(size=(2, *shape))
    return echoes.astype(np.complex64), Scan((0.004, 0.008), 7.0, np.diag([2.0, 2, 2, 1]), shape), np.ones(shape, bool)


def slab():
    echoes, scan, truth, _ = head()
    part = np.s_[..., 14:36]
    return np.ascontiguousarray(echoes[part]), scan.replace(shape=(50, 60, 22)), truth[part]


@pytest.mark.parametrize("thing", [bottles, crop, slab])
def test_other_things_get_the_signal_mask_and_a_note(thing):
    echoes, scan, truth = thing()
    mask, record = brain(echoes, scan, 1.0)
    np.testing.assert_array_equal(mask, signal(echoes, scan, 1.0).mask)
    assert dice(mask, truth) > 0.95
    (note,) = record.notes
    assert note.startswith("no whole brain in view (")
    assert "expected" in note
    assert "--set mask.method" in note


def test_a_thin_slab_is_not_tried():
    echoes, scan, *_ = head()
    record = brain(np.ascontiguousarray(echoes[..., 20:30]), scan.replace(shape=(50, 60, 10)), 1.0).record
    assert record.iterations == 0
    assert "measures 30 mm" in record.notes[0]
