"""STI: tensors from seven orientations, exact and noisy; anisotropy by eigenvalues; what is refused."""

import numpy as np
import pytest

from engine.dipole.orientations import directions, field_of, scan, sources
from ferritin.dipole import sti
from ferritin.dipole.sti import _Tensor, anisotropy
from ferritin.errors import InputError
from ferritin.inversion.orientations import Views

SCAN = scan()
ELEMENTS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def head(n):
    tensor, mask = sources()
    b = directions(n)
    fields = np.stack([field_of(tensor, d) for d in b]) * mask * SCAN.hz_per_ppm
    return np.stack([tensor[p, q] for p, q in ELEMENTS]).astype(np.float32), fields.astype(np.float32), b, mask


def error(found, truth, mask):
    """Relative error over the mask, the zero of the trace aside."""
    truth = truth.copy()
    truth[:3] -= truth[:3][:, mask].mean()
    return np.linalg.norm((found - truth)[:, mask]) / np.linalg.norm(truth[:, mask])


@pytest.mark.parametrize("n", [7, 9])
def test_tensors_are_found_from_noise_free_fields(n):
    tensor, fields, b, mask = head(n)
    found = sti(fields, b, mask, SCAN)
    assert error(found.chi_tensor, tensor, mask) < 0.08
    np.testing.assert_allclose(found.chi, found.chi_tensor[:3].mean(axis=0), atol=1e-6)
    truth = anisotropy(np, tensor)
    assert np.corrcoef(found.chi_anisotropy[mask], truth[mask])[0, 1] > 0.99
    assert not found.chi_tensor[:, ~mask].any()


def test_the_division_undoes_the_model_and_the_model_is_the_textbooks():
    """On a periodic grid with the field known everywhere there is nothing else: exact up to rounding and the mean."""
    _, fields, b, mask = head(7)
    views = Views(fields, b, mask, SCAN)
    fit = _Tensor(views, np.zeros((7, 6), np.float32) + np.eye(7, 6, dtype=np.float32))
    rng = np.random.default_rng(0)
    spectra = list(np.fft.rfftn(rng.normal(size=(6, *views.box.shape)), axes=(1, 2, 3)).astype(np.complex64))
    for element in spectra:
        element[0, 0, 0] = 0
    back = fit.inverse(fit.forward([s.copy() for s in spectra]))
    np.testing.assert_allclose(np.stack(back), np.stack(spectra), atol=2e-3)
    k = np.stack(np.broadcast_arrays(*fit.unit))[:, 3, 5, 7].astype(float)
    chi = np.zeros((3, 3), complex)
    for s, (p, q) in zip(spectra, ELEMENTS):
        chi[p, q] = chi[q, p] = s[3, 5, 7] / (1 if p == q else 2**0.5)
    expected = chi / 3 - (np.outer(k, chi @ k) + np.outer(chi @ k, k)) / 2
    for s, (p, q) in zip(fit.forward(spectra), ELEMENTS):
        assert s[3, 5, 7] / (1 if p == q else 2**0.5) == pytest.approx(expected[p, q], abs=1e-3)


def test_division_in_k_space_lacks_only_the_field_outside():
    tensor, fields, b, mask = head(8)
    found = sti(fields, b, mask, SCAN, solver="closed_form")
    assert error(found.chi_tensor, tensor, mask) < 0.3


def test_anisotropy_is_that_of_the_eigenvalues():
    tensor = np.random.default_rng(0).normal(size=(6, 5, 6, 7)).astype(np.float32)
    matrix = np.empty((5, 6, 7, 3, 3))
    for element, (p, q) in zip(tensor, ELEMENTS):
        matrix[..., p, q] = matrix[..., q, p] = element
    low, middle, high = np.moveaxis(np.linalg.eigvalsh(matrix), -1, 0)
    np.testing.assert_allclose(anisotropy(np, tensor), high - (low + middle) / 2, atol=1e-5)


def test_too_few_or_too_similar_orientations_are_refused():
    _, fields, b, mask = head(7)
    with pytest.raises(InputError, match="5 orientations determine"):
        sti(fields[:5], b[:5], mask, SCAN)
    with pytest.raises(InputError, match="condition number"):
        sti(fields, np.repeat(b[:1], 7, axis=0), mask, SCAN)
