"""BET finds the edge of a brain, whatever profile, voxel size and bridges, and spans what is dark inside."""

import sys

import numpy as np
import pytest

from ferritin.errors import InputError, ParameterError
from ferritin.mask import bet
from heads import dice, head

FAST = {"subdivisions": 3}


def test_finds_the_brain_under_a_steep_profile(xp, to_xp, to_np):
    echoes, scan, brain, r = head()
    mask, record = bet(to_xp(echoes), scan, 1.0, **FAST)
    mask = to_np(mask)
    assert mask.dtype == bool
    assert dice(mask, brain) > 0.97
    assert mask[r < 0.75].all()  # the void too
    assert not mask[r > 1].any()
    assert record.stopped_by == "tolerance"


def test_voxel_size_and_place_in_the_volume_do_not_matter():
    echoes, scan, brain, _ = head(shape=(75, 44, 80), voxel=(2.0, 4.0, 1.8))
    moved = [np.roll(a, (3, 2, -4), (-3, -2, -1)) for a in (echoes, brain)]
    assert dice(bet(echoes, scan, 1.0, **FAST).mask, brain) > 0.96
    assert dice(bet(moved[0], scan, None, **FAST).mask, moved[1]) > 0.96


def test_a_void_at_the_rim_is_spanned():
    echoes, scan, brain, _ = head()
    x, y, z = np.meshgrid(*((np.arange(n) - n / 2) * 3 for n in scan.shape), indexing="ij")
    void = ((x / 12) ** 2 + ((y - 58) / 10) ** 2 + ((z + 10) / 9) ** 2 < 1) & brain
    echoes[:, void] *= 0.02
    mask = bet(echoes, scan, 1.0, **FAST).mask
    assert dice(mask, brain) > 0.96


def test_a_larger_fraction_makes_a_smaller_brain_and_the_gradient_tilts_it():
    echoes, scan, *_ = head(noise=2.0)
    sizes = [bet(echoes, scan, 2.0, fraction=f, **FAST).mask.sum() for f in (0.2, 0.5, 0.8)]
    assert sizes[0] > sizes[1] > sizes[2]
    tilted, level = (bet(echoes, scan, 2.0, gradient=g, **FAST).mask for g in (0.3, 0.0))
    assert tilted[..., 30:].sum() < level[..., 30:].sum()
    assert tilted[..., :18].sum() > level[..., :18].sum()


def test_nan_and_zeros_are_background():
    echoes, scan, brain, r = head(noise=0.5)
    echoes[:, r > 1.2] = 0
    echoes[:, :2] = np.nan
    assert dice(bet(echoes, scan, **FAST).mask, brain) > 0.96


def test_errors_name_value_and_remedy():
    echoes, scan, *_ = head()
    with pytest.raises(ParameterError, match=r"fraction = 1.5.*default is 0.5"):
        bet(echoes, scan, fraction=1.5)
    with pytest.raises(InputError, match="give a mask with --mask"):
        bet(np.zeros_like(echoes), scan, 1.0)


def test_progress_counts_iterations():
    echoes, scan, *_ = head()
    calls = []
    bet(echoes, scan, 1.0, n_iterations=20, progress=lambda i, n: calls.append((i, n)), **FAST)
    assert calls == [(i + 1, 20) for i in range(20)]


def test_a_surface_that_intersects_itself_is_grown_anew_with_more_smoothness(monkeypatch):
    monkeypatch.setattr(sys.modules["ferritin.mask.bet"], "_CROSSED", -1)  # take every surface for one that does
    echoes, scan, brain, _ = head()
    mask, record = bet(echoes, scan, 1.0, **FAST)
    assert [note.split("smoothness ")[1].split()[0] for note in record.notes] == ["1", "10", "100"]
    assert dice(mask, brain) > 0.95
