"""The signal mask on a head of known shape: brain in, scalp out, voids filled, whatever the receive profile."""

import numpy as np
import pytest

from ferritin.errors import InputError
from ferritin.mask import signal
from ferritin.scan import Scan
from heads import dice, head


@pytest.mark.parametrize("noise_sd", [1.0, None])
def test_finds_the_brain_and_leaves_the_scalp(xp, to_xp, to_np, noise_sd):
    echoes, scan, brain, r = head()
    mask = to_np(signal(to_xp(echoes), scan, noise_sd).mask)
    assert mask.dtype == bool
    assert dice(mask, brain) > 0.97
    assert mask[brain].mean() > 0.995  # the void too
    assert mask[r > 0.97].mean() < 1e-3


def test_background_of_zeros_and_nan_is_background():
    echoes, scan, brain, r = head(noise=0.0)
    echoes[:, r > 1.2] = 0
    echoes[:, :3] = np.nan
    assert dice(signal(echoes, scan).mask, brain) > 0.97


def test_a_crop_that_is_all_tissue_is_kept():
    rng = np.random.default_rng(0)
    echoes = (50 + rng.normal(size=(2, 30, 32, 20)) + 1j * rng.normal(size=(2, 30, 32, 20))).astype(np.complex64)
    scan = Scan(te_s=(0.004, 0.008), b0_t=7.0, affine=np.eye(4), shape=(30, 32, 20))
    assert signal(echoes, scan).mask.mean() > 0.99


def test_one_slice_is_enough():
    echoes, scan, brain, _ = head()
    slab = np.ascontiguousarray(echoes[..., 24:25])
    scan = scan.replace(shape=slab.shape[1:])
    assert dice(signal(slab, scan, 1.0).mask, brain[..., 24:25]) > 0.95


def test_no_signal_is_an_error():
    echoes = np.zeros((2, 10, 10, 10), np.complex64)
    scan = Scan(te_s=(0.004, 0.008), b0_t=7.0, affine=np.eye(4), shape=(10, 10, 10))
    with pytest.raises(InputError, match="give a mask with --mask"):
        signal(echoes, scan)


def test_every_large_piece_is_kept_and_small_ones_are_not():
    rng = np.random.default_rng(2)
    echoes = rng.normal(size=(1, 40, 40, 40)) + 1j * rng.normal(size=(1, 40, 40, 40))
    parts = np.zeros((40, 40, 40), bool)
    parts[3:18, 5:35, 5:35] = parts[22:30, 5:35, 5:35] = True
    echoes[0, parts] += 40
    echoes[0, 34:38, 10:16, 10:16] += 40
    scan = Scan((0.004,), 3.0, np.diag([3.0, 3, 3, 1]), (40, 40, 40))
    mask = signal(echoes.astype(np.complex64), scan, 1.0).mask
    assert mask[parts].mean() > 0.98
    assert not mask[34:38].any()
