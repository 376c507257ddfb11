"""R2* beside a field gradient, through the methods of the stage."""

import numpy as np
import pytest

from ferritin.errors import InputError, ParameterError
from ferritin.relax import complex_fit, nonlinear
from ferritin.scan import Scan

TE = (0.005, 0.010, 0.015, 0.020, 0.025, 0.030)


def slab():
    """A slab of R2* 25 1/s in a gradient of 100 µT/m along z, 2 mm slices: spins summed over each slice."""
    across = 42.577478518e6 * 100e-6 * 2e-3
    field = np.broadcast_to(across * np.arange(10, dtype=np.float32), (4, 4, 10)).copy()
    t = np.reshape(TE, (-1, 1, 1, 1))
    spins = [np.exp(2j * np.pi * across * t * z) for z in (np.arange(200) + 0.5) / 200 - 0.5]
    echoes = 100 * np.exp(-25 * t + 2j * np.pi * field * t) * np.mean(spins, axis=0)
    scan = Scan(te_s=TE, b0_t=3.0, affine=np.diag((2.0, 2.0, 2.0, 1.0)), shape=field.shape)
    return echoes.astype(np.complex64), (2 * np.pi * field * t).astype(np.float32), field, scan


@pytest.mark.parametrize("slice_axis", [None, 2])
def test_r2star_within_three_percent(xp, to_xp, to_np, slice_axis):
    echoes, unwrapped, field, scan = slab()
    mask = np.ones(field.shape, bool)
    e, u, m, f = map(to_xp, (echoes, unwrapped, mask, field))
    plain = to_np(nonlinear(e, m, scan).r2star)
    corrected = to_np(nonlinear(e, m, scan, None, f, gradient="box", slice_axis=slice_axis).r2star)
    with_phase = to_np(complex_fit(e, u, m, scan, None, f, gradient="box", slice_axis=slice_axis).r2star)
    assert np.all(plain > 25 * 1.1)
    np.testing.assert_allclose(corrected, 25, rtol=0.03)
    np.testing.assert_allclose(with_phase, 25, rtol=0.03)


def test_voxels_that_the_gradient_takes_are_told_from_those_without_signal(xp, to_xp, to_np):
    """A steep field dephases all echoes; where the echoes do not decay at all, the correction leaves R2* 0."""
    echoes, unwrapped, field, scan = slab()
    echoes[:, 0, 0, :3] = 0
    echoes[2, 1, 0, 5] = np.nan
    echoes[:, 3] = 100
    field[2] *= 40
    e, u, m, f = map(to_xp, (echoes, unwrapped, np.ones(field.shape, bool), field))
    options = {"gradient": "box", "slice_axis": 2}
    for maps in (nonlinear(e, m, scan, None, f, **options), complex_fit(e, u, m, scan, None, f, **options)):
        notes = "; ".join(maps.record.notes)
        assert "40 of 160 voxels of the mask are dephased" in notes
        assert "4 of 160 voxels of the mask have no signal or NaN" in notes
        flat = int(((to_np(maps.r2star) == 0) & (to_np(maps.s0) > 0)).sum())
        assert flat >= 40
        assert f"in {flat} of 160 voxels the gradient explains all" in notes
    assert not any("dephased" in note or "explains" in note for note in nonlinear(e, m, scan).record.notes)


def test_what_is_missing_is_said():
    echoes, _, field, scan = slab()
    mask = np.ones(field.shape, bool)
    with pytest.raises(InputError, match="needs total_field"):
        nonlinear(echoes, mask, scan, gradient="box")
    with pytest.raises(ParameterError, match="needs slice_axis"):
        nonlinear(echoes, mask, scan, None, field, gradient="pulse")
    with pytest.raises(ParameterError, match="expected 0, 1 or 2"):
        nonlinear(echoes, mask, scan, None, field, gradient="pulse", slice_axis=3)
