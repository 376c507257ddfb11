"""The standard deviation of a map: exact for a linear method, and near the errors of a regularised one."""

import numpy as np
import pytest

from engine.dipole.phantoms import six_spheres
from ferritin.dipole import tgv, tkd, tv
from ferritin.errors import ParameterError
from ferritin.run.pipeline import reconstruct


def test_linear_method_against_the_exact_diagonal():
    """TKD is a convolution of the masked field: the variance in the middle is the noise's times the kernel's square.

    The field is noise as its map says: what a field holds beyond its map would count as noise, too.
    """
    scan, mask, _, _, field = six_spheres(n=40)
    sd = np.float32(2e-3 * scan.hz_per_ppm)
    field = sd * np.random.default_rng(3).standard_normal(field.shape, np.float32) * mask
    found = tkd(field, mask, scan, np.where(mask, sd, 0).astype(np.float32), uncertainty=24, reference="none").chi_sd
    point = np.zeros_like(field)
    point[20, 20, 20] = sd
    kernel = tkd(point, mask, scan, reference="none").chi
    middle = found[17:23, 17:23, 17:23]
    assert middle.mean() == pytest.approx(float(np.linalg.norm(kernel)), rel=0.05)


def test_noise_by_its_place(xp, to_xp, to_np):
    scan, mask, _, _, field = six_spheres(n=40)
    noise = np.where(mask, np.float32(1.0), 0)
    noise[20:] *= 4
    sd = to_np(tkd(*map(to_xp, (field, mask)), scan, to_xp(noise), uncertainty=3).chi_sd)
    assert np.median(sd[20:][mask[20:]]) > 1.5 * np.median(sd[:20][mask[:20]])


def test_a_regularised_map_has_one_too(xp, to_xp, to_np):
    scan, mask, _, _, field = six_spheres(n=40)
    result = tv(*map(to_xp, (field, mask)), scan, iterations=8, uncertainty=3)
    sd = to_np(result.chi_sd)
    assert sd.dtype == np.float32
    assert sd.shape == field.shape
    assert (sd[mask] > 0).all()
    assert not sd[~mask].any()
    assert any("3 simulated fields" in note for note in result.record.notes)


def test_the_option_reaches_the_maps():
    scan, mask, _, _, field = six_spheres(n=32)
    scan = scan.replace(data={"local_field": field, "local_mask": mask})
    settings = {"dipole": {"method": "tkd", "uncertainty": "2"}}
    assert reconstruct(scan, targets=("chi",), settings=settings, device="cpu").chi_sd.shape == scan.shape
    assert "chi_sd" not in reconstruct(scan, targets=("chi",), settings={"dipole": {"method": "tkd"}}).artifacts


def test_methods_from_the_total_field_refuse():
    scan, mask, _, _, field = six_spheres(n=32)
    with pytest.raises(ParameterError, match="starts from the local field"):
        tgv(field, mask, scan, iterations=1, uncertainty=2)
