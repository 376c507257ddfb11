"""COSMOS: exact where orientations determine chi, its condition, weights, and what is refused."""

import numpy as np
import pytest

from engine.dipole.orientations import directions, field_of, scan, sources
from ferritin.dipole import cosmos
from ferritin.errors import InputError, ShapeError
from ferritin.inversion.orientations import least_power

SCAN = scan()


def head(n, most_deg=60.0):
    """chi of the scalar head, its fields [Hz] in n orientations, the directions and the mask."""
    tensor, mask = sources()
    chi = tensor[2, 2]
    scalar = np.einsum("pq,xyz->pqxyz", np.eye(3), chi)
    b = directions(n, most_deg)
    fields = np.stack([field_of(scalar, d) for d in b]) * mask * SCAN.hz_per_ppm
    return chi.astype(np.float32), fields.astype(np.float32), b, mask


def error(found, chi, mask):
    truth = (chi - chi[mask].mean())[mask]
    return np.linalg.norm(found[mask] - truth) / np.linalg.norm(truth)


@pytest.mark.parametrize("n", [3, 5])
def test_chi_is_found_exactly_where_the_orientations_determine_it(n):
    chi, fields, b, mask = head(n)
    found = cosmos(fields, b, mask, SCAN, iterations=100, tolerance=1e-5)
    assert error(found.chi, chi, mask) < 0.01
    assert "condition number" in found.record.notes[0]
    assert not found.chi[~mask].any()


def test_division_in_k_space_lacks_only_the_field_outside():
    chi, fields, b, mask = head(4)
    assert error(cosmos(fields, b, mask, SCAN, solver="closed_form").chi, chi, mask) < 0.12


def test_more_orientations_and_larger_angles_average_noise_better():
    rng, errors = np.random.default_rng(0), []
    for n, angle in ((3, 40.0), (3, 60.0), (7, 60.0)):
        chi, fields, b, mask = head(n, angle)
        fields += (2.0 * rng.normal(size=fields.shape) * mask).astype(np.float32)
        errors.append(error(cosmos(fields, b, mask, SCAN, least=1e-3).chi, chi, mask))
    assert errors[0] > errors[1] > errors[2]


def test_a_spoiled_orientation_is_silenced_by_its_noise():
    chi, fields, b, mask = head(4)
    fields[3] = 50 * np.random.default_rng(0).normal(size=fields[3].shape)
    noises = np.ones_like(fields)
    noises[3] = 1e4
    found = cosmos(fields, b, mask, SCAN, noises, iterations=100, tolerance=1e-5)
    assert error(found.chi, chi, mask) < 0.02


def test_least_power_is_that_of_theory():
    """One orientation: 0 on the cone, 4/9 along B0. Three orthogonal ones share one of their cones: 0."""
    assert least_power([np.array((0, 0, 1.0))]) == pytest.approx((0, 4 / 9), abs=2e-4)
    assert least_power(np.eye(3))[0] == pytest.approx(0, abs=2e-4)
    assert least_power(np.eye(3))[1] == pytest.approx(4 / 9 + 2 / 9, abs=2e-4)


def test_orientations_too_much_alike_are_refused():
    _, fields, b, mask = head(3, 4.0)
    with pytest.raises(InputError, match="turn the head further"):
        cosmos(fields, b, mask, SCAN)
    with pytest.raises(ShapeError, match="3 fields and 2 directions"):
        cosmos(fields, b[:2], mask, SCAN)
