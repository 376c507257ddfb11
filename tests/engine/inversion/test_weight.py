"""The noise of a field without a map, the weight that follows from it, and the rules that look at the misfit."""

import numpy as np
import pytest

from engine.dipole.phantoms import six_spheres
from ferritin import registry
from ferritin.dipole import closed_form, medi, tkd, tv
from ferritin.errors import ParameterError
from ferritin.inversion.noise import noise_level
from ferritin.inversion.problem import Problem
from ferritin.inversion.weight import corner, lowest
from ferritin.scan import Scan

SD_PPM = 2e-3


def noisy(sd_ppm=SD_PPM, n=48):
    scan, mask, chi, _, field = six_spheres(n=n)
    sd = np.float32(sd_ppm * scan.hz_per_ppm)
    field = field + sd * np.random.default_rng(0).standard_normal(field.shape).astype(np.float32) * mask
    return scan, mask, chi, field, np.where(mask, sd, 0).astype(np.float32)


@pytest.mark.parametrize("sd", [2e-2, 5e-2])
def test_noise_is_found_in_the_magic_cone(xp, to_xp, sd):
    scan, mask, _, field, _ = noisy(sd)
    problem = Problem(to_xp(field), to_xp(mask), scan)
    assert noise_level(problem, problem.weights()[0]) == pytest.approx(sd, rel=0.15)


@pytest.mark.parametrize("said", [0.5, 1.0, 3.0])
def test_a_noise_map_says_where_and_the_field_how_much(said):
    """Noise that differs by place: the level is that of weight 1 whatever unit its map is in."""
    scan, mask, _, field, _ = noisy(0)
    x = np.arange(48)[:, None, None]
    sd = np.where(mask, 2e-2 * (1 + 0.8 * np.sin(x / 4)), 0).astype(np.float32) * np.float32(scan.hz_per_ppm)
    field = field + sd * np.random.default_rng(1).standard_normal(field.shape).astype(np.float32)
    problem = Problem(field, mask, scan)
    weight, known = problem.weights(said * sd)
    assert noise_level(problem, weight) == pytest.approx(known / said, rel=0.15)


def test_automatic_weight_follows_the_noise_and_is_said():
    weights = []
    for sd in (2e-2, 6e-2):
        scan, mask, _, field, noise = noisy(sd)
        note = tv(field, mask, scan, noise, iterations=2).record.notes[0]
        assert "magic cone" in note
        weights.append(float(note.split()[2]))
    assert weights[1] == pytest.approx(9 * weights[0], rel=0.2)


@pytest.mark.parametrize("rule", ["discrepancy", "cross-validation"])
def test_rules_come_near_the_best_weight(rule):
    scan, mask, chi, field, noise = noisy(1e-2)
    truth = (chi - chi[mask].mean()) * mask

    def error(weight):
        found = tv(field, mask, scan, noise, lambda_=weight, outside=1.0, iterations=30).chi
        return np.linalg.norm((found - truth)[mask])

    best = min(error(w) for w in np.geomspace(3e-4, 3e-2, 7))
    assert error(rule) < 2 * best


@pytest.mark.parametrize("true", [0.011, 0.02, 0.031])
def test_lowest_error_lies_between_the_weights_that_were_tried(true):
    weights = [0.005, 0.01, 0.02, 0.04, 0.08]
    assert lowest(weights, [1 + np.log(w / true) ** 2 for w in weights]) == pytest.approx(true, rel=1e-3)
    assert lowest(weights[::-1], [1 + np.log(w / true) ** 2 for w in weights[::-1]]) == pytest.approx(true, rel=1e-3)
    assert lowest(weights, [1, 2, 3, 4, 5]) == 0.005
    assert lowest(weights, [1, 1, 1, 1, 0]) == 0.08


def test_corner_of_an_l():
    """Log roughness falls, then log misfit grows; far out the roughness collapses, a corner of the other sign."""
    misfit = np.array([0, 0.02, 0.05, 0.1, 0.6, 1.2, 1.8, 1.9])
    roughness = np.array([3, 2, 1.2, 0.5, 0.45, 0.4, 0.2, -3])
    assert corner(misfit, roughness) == 3


def test_discrepancy_grows_with_the_noise():
    weights = []
    for sd in (1e-2, 4e-2):
        scan, mask, _, field, _ = noisy(sd)
        note = closed_form(field, mask, scan, lambda_="discrepancy").record.notes[0]
        weights.append(float(note.split()[2]))
    assert weights[1] > 2 * weights[0]


def test_what_cannot_be_is_said():
    scan, mask, _, field, _ = noisy(n=32)
    with pytest.raises(ParameterError, match="lambda = 'best', expected auto or l-curve"):
        tv(field, mask, scan, lambda_="best")
    with pytest.raises(ParameterError, match="needs a method that weights its data"):
        closed_form(field, mask, scan, lambda_="cross-validation")  # its field is transformed as a whole
    assert "lambda" not in {p.name for p in registry.find("dipole", "tkd").parameters}
    assert tkd(field, mask, scan).chi_sd is None


def test_discrepancy_of_a_weight_on_the_data():
    """MEDI's lambda weighs the data: the rule has to walk the other way, and finds a map that is better than none."""
    scan, mask, chi, field, noise = noisy(1e-2, n=32)
    truth = (chi - chi[mask].mean())[mask]
    found = medi(field, mask, scan, noise, lambda_="discrepancy")
    assert np.linalg.norm(found.chi[mask] - truth) < 0.8 * np.linalg.norm(truth)


def test_l_curve_comes_near_the_best_weight():
    scan, mask, chi, field, _ = noisy(2e-3, n=32)
    truth = (chi - chi[mask].mean())[mask]

    def error(weight):
        return np.linalg.norm(closed_form(field, mask, scan, lambda_=weight).chi[mask] - truth)

    assert error("l-curve") < 1.4 * min(error(w) for w in np.geomspace(1e-4, 1, 17))


def test_a_curve_without_a_corner_is_said():
    bulge = np.linspace(0, np.pi / 2, 10)
    assert corner(np.sin(bulge), np.cos(bulge)) is None


@pytest.mark.parametrize("thick", [1, 2])
def test_noise_of_few_slices(thick):
    scan = Scan((0.004, 0.012), 7.0, np.diag([1.0, 1.0, 3.0, 1.0]), (64, 64, 8))
    mask = np.zeros(scan.shape, bool)
    mask[4:60, 4:60, 3 : 3 + thick] = True
    field = (np.random.default_rng(0).standard_normal(scan.shape) * mask * 1e-2 * scan.hz_per_ppm).astype(np.float32)
    problem = Problem(field, mask, scan)
    assert noise_level(problem, problem.weights()[0]) == pytest.approx(1e-2, rel=0.2)
