"""TV on six spheres: slope, scaling, angle of B0, and weights that silence bad voxels."""

import numpy as np
import pytest

from engine.dipole.phantoms import six_spheres, slope
from ferritin.dipole.tv import tv
from ferritin.errors import InputError, ParameterError


@pytest.mark.parametrize("b0_dir", [(0, 0, 1), (0.5, 0.3, 0.8)])
@pytest.mark.parametrize("voxel", [(1, 1, 1), (1.0, 1.0, 1.6)])
def test_slope(b0_dir, voxel):
    scan, mask, chi, labels, field = six_spheres(voxel, b0_dir)
    found, record = tv(field, mask, scan, lambda_=2e-5, iterations=150)
    assert slope(found, chi, labels) == pytest.approx(1, abs=0.05)
    assert record.iterations > 10
    assert record.stopped_by in ("tolerance", "iterations")


def test_scaling_field_and_lambda_scales_chi():
    scan, mask, _, _, field = six_spheres(n=32)
    once = tv(field, mask, scan, lambda_=1e-4, iterations=20, tolerance=0).chi
    ten = tv(10 * field, mask, scan, lambda_=1e-3, iterations=20, tolerance=0).chi
    np.testing.assert_allclose(ten, 10 * once, rtol=1e-3, atol=1e-4)


def test_noise_map_silences_a_bad_voxel():
    scan, mask, _, _, field = six_spheres(n=48)
    noise = np.ones_like(field)
    bad = field.copy()
    bad[24, 24, 24] += 200
    noise[24, 24, 24] = 1e4
    clean, plain = (tv(f, mask, scan, noise, lambda_=3e-5).chi for f in (field, bad))
    unweighted = tv(bad, mask, scan, lambda_=3e-5).chi
    assert np.abs(plain - clean).max() < 0.01
    assert np.abs(unweighted - clean).max() > 0.1


def test_it_reaches_the_minimum():
    """The objective does not fall any more, whatever the penalties."""
    scan, mask, _, _, field = six_spheres(n=32)

    def objective(chi, lambda_=1e-4):
        from ferritin.ops.dipole import Dipole
        from ferritin.ops.gradient import Gradient

        f = Dipole(np, scan.shape, scan)(chi)
        g = Gradient(scan.voxel_mm)(np, chi)
        return 0.5 * ((mask * (f - field / scan.hz_per_ppm)) ** 2).sum() + lambda_ * np.sqrt((g**2).sum(0)).sum()

    runs = [
        tv(field, np.ones_like(mask) & mask, scan, lambda_=1e-4, iterations=400, tolerance=0, reference="none", **p).chi
        for p in ({}, {"mu": 0.5}, {"rho": 0.3})
    ]
    values = [objective(chi) for chi in runs]
    assert max(values) < 1.02 * min(values)


@pytest.mark.parametrize("bad", [{"lambda_": 0.0}, {"rho": -1.0}, {"iterations": 0}])
def test_absurd_parameters_are_refused(bad):
    scan, mask, _, _, field = six_spheres(n=32)
    with pytest.raises(ParameterError):
        tv(field, mask, scan, **bad)


def test_noise_map_without_noise_is_refused():
    scan, mask, _, _, field = six_spheres(n=32)
    with pytest.raises(InputError, match="field_noise"):
        tv(field, mask, scan, np.zeros_like(field))
