"""The closed forms as methods of the stage r2star."""

import numpy as np
import pytest

from ferritin.relax import arlo, log_linear, numart2star
from ferritin.scan import Scan

TE = tuple(0.004 + 0.005 * k for k in range(6))


@pytest.mark.parametrize(("method", "within"), [(log_linear, 1e-4), (arlo, 1e-3), (numart2star, 0.05)])
def test_known_decay(xp, to_xp, to_np, method, within):
    shape = (6, 5, 4)
    truth = np.random.default_rng(0).uniform(10, 60, shape)
    echoes = 100 * np.exp(-np.reshape(TE, (-1, 1, 1, 1)) * truth + 0.4j)
    echoes[:, 1, 0, 0] = 0
    mask = np.ones(shape, bool)
    mask[0] = False
    scan = Scan(te_s=TE, b0_t=3.0, affine=np.eye(4), shape=shape)
    maps = method(to_xp(echoes.astype(np.complex64)), to_xp(mask), scan)
    expected = truth * mask
    expected[1, 0, 0] = 0
    np.testing.assert_allclose(to_np(maps.r2star), expected, rtol=within)
    assert maps.record.stopped_by == "closed form"
    assert any("1 of 100 voxels" in note for note in maps.record.notes)
