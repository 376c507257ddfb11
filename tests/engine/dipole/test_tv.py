"""TV on six spheres: slope, scaling, angle of B0, bad voxels, edges, and sources left outside."""

import numpy as np
import pytest
from scipy import ndimage

from engine.dipole.phantoms import six_spheres, slope
from ferritin.dipole.tv import tv
from ferritin.errors import InputError, ParameterError
from ferritin.inversion import sparse
from ferritin.inversion.problem import Problem
from ferritin.inversion.sparse import DOUBT, EDGES_AT, PER_NOISE, PER_NOISE_VARIANCE, STRUCTURE
from ferritin.phantom.field import field as field_of_cells
from ferritin.scan import Scan
from properties.fields import sphere_field


@pytest.mark.parametrize("b0_dir", [(0, 0, 1), (0.5, 0.3, 0.8)])
@pytest.mark.parametrize("voxel", [(1, 1, 1), (1.0, 1.0, 1.3)])
def test_slope(b0_dir, voxel):
    scan, mask, chi, labels, field = six_spheres(voxel, b0_dir)
    found, record, _ = tv(field, mask, scan, lambda_=2e-5, outside=1.0, reject=None)
    assert slope(found, chi, labels) == pytest.approx(1, abs=0.05)
    assert record.iterations > 10
    assert record.stopped_by in ("tolerance", "iterations")


def test_scaling_field_and_lambda_scales_chi():
    scan, mask, _, _, field = six_spheres(n=32)
    few = {"iterations": 20, "tolerance": 0, "reject": None}  # what is rejected is measured in ppm
    once = tv(field, mask, scan, lambda_=1e-4, **few).chi
    ten = tv(10 * field, mask, scan, lambda_=1e-3, **few).chi
    np.testing.assert_allclose(ten, 10 * once, rtol=1e-3, atol=1e-4)


def test_lambda_follows_the_scale():
    """Twice the field, noise included, has four times the noise variance, and lambda with it."""
    scan, mask, _, _, field = six_spheres(n=32)
    noise = np.full_like(field, 0.2)
    one, two = (tv(k * field, mask, scan, noise, iterations=1).record.notes[0] for k in (1, 2))
    assert float(two.split()[2]) == pytest.approx(4 * float(one.split()[2]), rel=0.01)


def test_noise_map_silences_a_bad_voxel():
    scan, mask, _, _, field = six_spheres(n=48)
    noise = np.ones_like(field)
    bad = field.copy()
    bad[24, 24, 24] += 200
    noise[24, 24, 24] = 1e4
    clean, plain = (tv(f, mask, scan, noise, lambda_=3e-5, reject=None).chi for f in (field, bad))
    unweighted = tv(bad, mask, scan, lambda_=3e-5, reject=None).chi
    assert np.abs(plain - clean).max() < 0.01
    assert np.abs(unweighted - clean).max() > 0.1


def test_misfit_voxels_are_rejected_without_a_noise_map():
    scan, mask, chi, _, field = six_spheres(n=48)
    rng = np.random.default_rng(0)
    field += (0.5 * rng.normal(size=field.shape)).astype(np.float32) * mask
    bad = field.copy()
    bad[20:40:5, 24, 24] += 300
    kept, rejected = (tv(bad, mask, scan, lambda_=1e-4, outside=1.0, reject=r).chi for r in (None, 3.0))
    truth = chi - chi[mask].mean()
    assert np.linalg.norm((rejected - truth)[mask]) < 0.6 * np.linalg.norm((kept - truth)[mask])


def test_what_is_left_of_the_background_goes_outside():
    """The field of a source beside the mask, a third of the field itself, hardly disturbs the map."""
    scan, mask, chi, _, field = six_spheres(n=48)
    left = sphere_field(scan, 5.0, 0.6, centre=(24, 24, -6)) * np.float32(scan.hz_per_ppm) * mask
    truth = chi - chi[mask].mean()
    free = {"lambda_": 1e-4, "outside": 0.003, "iterations": 120}
    with_it, without = (np.linalg.norm((tv(f, mask, scan, **free).chi - truth)[mask]) for f in (field + left, field))
    assert np.abs(left).max() > 8
    assert with_it < 1.1 * without


def test_background_is_told_from_a_noisy_rim():
    """The noise of the rim looks like sources beside it, not like far ones; a far source makes half as much field."""
    scan, mask, _, _, field = six_spheres(n=48)
    rim = mask & ~ndimage.binary_erosion(mask, iterations=2)
    noise = (np.where(rim, 0.8, 0.2) * field[mask].std() * mask).astype(np.float32)
    noisy = field + noise * np.random.default_rng(0).standard_normal(field.shape).astype(np.float32)
    left = sphere_field(scan, 5.0, 1.5, centre=(24, 24, -10)) * np.float32(scan.hz_per_ppm) * mask
    said = [
        " ".join(tv(f, mask, scan, n).record.notes) for f, n in ((field, None), (noisy, noise), (field + left, None))
    ]
    assert ["no background is left" in note for note in said] == [True, True, False]
    assert "outer sources are free" in said[2]


def test_the_price_of_outer_sources_goes_evenly_from_noise_to_background(monkeypatch):
    """No verdict hangs by a hair: the map of a field between the two lies between both maps."""
    scan, mask, _, _, field = six_spheres(n=32)
    left = sphere_field(scan, 4.0, 1.0, centre=(16, 16, -6)) * np.float32(scan.hz_per_ppm) * mask
    weight, price = 1e-4, {}
    spread = Problem(field + left, mask, scan).spread()
    noise = STRUCTURE + PER_NOISE * (weight / PER_NOISE_VARIANCE) ** 0.5 / spread
    for at in (-3, 0, 0.01, 0.5, 0.99, 1, 3):
        monkeypatch.setattr(sparse, "_share", lambda *_, at=at: noise + at * DOUBT)
        price[at] = tv(field + left, mask, scan, lambda_=weight, own_edges=None).chi
    apart = lambda a, b: np.linalg.norm(price[a] - price[b])  # noqa: E731
    assert apart(-3, 0) == apart(1, 3) == 0
    assert max(apart(0, 0.01), apart(0.99, 1)) < 0.1 * apart(0, 1)
    assert max(apart(0, 0.5), apart(0.5, 1)) < apart(0, 1)


def test_a_step_at_the_border_of_the_mask_costs_no_wave_inside():
    """chi all of which is 0.1 ppm above what surrounds the mask: shrinking that step would bend the whole map."""
    n = 40
    scan = Scan((0.004, 0.012), 3.0, np.eye(4), (n,) * 3)
    x = np.indices(scan.shape) - n / 2 + 0.5
    mask = (abs(x[2]) < 12) & (x[0] ** 2 + x[1] ** 2 < 14**2)
    ball = ((x - np.reshape([3, 2, -1], (3, 1, 1, 1))) ** 2).sum(axis=0) < 16
    chi = np.where(mask, 0.1 + 0.2 * ball, 0).astype(np.float32)
    field = (field_of_cells(chi, (1, 1, 1), (0, 0, 1)) * np.float32(scan.hz_per_ppm) * mask).astype(np.float32)
    found, truth = tv(field, mask, scan, lambda_=2e-4).chi, chi - chi[mask].mean()
    assert np.linalg.norm((found - truth)[mask]) < 0.15 * np.linalg.norm(truth[mask])


def test_automatic_lambda_of_a_field_without_noise():
    """There is a least one, and it grows with the field."""
    scan, mask, _, _, field = six_spheres(n=32)
    smooth = ndimage.gaussian_filter(field, 3) * mask
    least = [float(tv(k * smooth, mask, scan, iterations=1).record.notes[0].split()[2]) for k in (1, 3)]
    assert least[0] == pytest.approx(7e-4 * Problem(smooth, mask, scan).spread(), rel=0.01)
    assert least[1] == pytest.approx(3 * least[0], rel=0.01)


def test_a_large_weight_hides_no_background(monkeypatch):
    """A weight that was chosen to smooth does not stand for noise that could explain what far sources find."""
    scan, mask, _, _, field = six_spheres(n=32)
    monkeypatch.setattr(sparse, "_share", lambda *_: 0.2)
    for weight in (1e-4, 10.0):
        notes = " ".join(tv(field, mask, scan, lambda_=weight, iterations=16).record.notes)
        assert "outer sources are free" in notes


def test_any_namespace_comes_to_the_same_map_past_all_revisions(xp, to_xp, to_np):
    """Weights after rejection, the price of outer sources and the map's own edges come into it one after the other."""
    scan, mask, _, _, field = six_spheres(n=32)
    noise = np.full_like(field, 0.3)
    found = tv(to_xp(field), to_xp(mask), scan, to_xp(noise), iterations=EDGES_AT + 3, tolerance=0)
    expected = tv(field, mask, scan, noise, iterations=EDGES_AT + 3, tolerance=0)
    np.testing.assert_allclose(to_np(found.chi), expected.chi, atol=1e-3 * np.abs(expected.chi).max())
    assert found.record.notes == expected.record.notes


def test_edges_of_the_magnitude_keep_what_a_strong_prior_would_flatten():
    scan, mask, chi, _, field = six_spheres(n=48)
    rng = np.random.default_rng(1)
    field += (1.5 * rng.normal(size=field.shape)).astype(np.float32) * mask
    s0 = (mask * (1 + 0.01 * rng.normal(size=chi.shape))).astype(np.float32)
    r2star = (20 + 200 * np.abs(chi)).astype(np.float32)
    blind = tv(field, mask, scan, lambda_=6e-3).chi
    seeing = tv(field, mask, scan, None, s0, r2star, lambda_=6e-3).chi
    truth = chi - chi[mask].mean()
    assert np.linalg.norm((seeing - truth)[mask]) < 0.6 * np.linalg.norm((blind - truth)[mask])


def test_edges_of_the_map_itself_undo_the_shrinkage_of_its_jumps():
    """A strong prior takes a fifth off the spheres; where their rims count as edges, most of it comes back."""
    scan, mask, chi, labels, field = six_spheres(n=48)
    truth = (chi - chi[mask].mean())[mask]
    blind, seeing = (tv(field, mask, scan, lambda_=1e-3, own_edges=e).chi for e in (None, 100.0))
    assert np.linalg.norm(seeing[mask] - truth) < 0.7 * np.linalg.norm(blind[mask] - truth)
    assert slope(blind, chi, labels) < 0.85
    assert slope(seeing, chi, labels) > 0.9


@pytest.mark.parametrize(
    "bad", [{"lambda_": 0.0}, {"outside": 0.0}, {"iterations": 0}, {"reject": 0}, {"own_edges": 0}]
)
def test_absurd_parameters_are_refused(bad):
    scan, mask, _, _, field = six_spheres(n=32)
    with pytest.raises(ParameterError):
        tv(field, mask, scan, **bad)


def test_noise_map_without_noise_is_refused():
    scan, mask, _, _, field = six_spheres(n=32)
    with pytest.raises(InputError, match="field_noise"):
        tv(field, mask, scan, np.zeros_like(field))


def test_a_run_that_ends_before_the_prior_is_settled_says_so():
    scan, mask, _, _, field = six_spheres(n=32)
    notes = [
        " ".join(tv(field, mask, scan, lambda_=1e-4, tolerance=0, iterations=n).record.notes) for n in (15, 30, 31)
    ]
    assert "before the price of outer sources and edges of the map itself" in notes[0]
    assert "before edges of the map itself" in notes[1]
    assert "before" not in notes[2]
