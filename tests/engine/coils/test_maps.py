"""Weights against known sensitivities: what a method finds is the truth up to one phase that all coils share."""

import numpy as np
import pytest

from ferritin.coils import espirit, mcpc3ds, roemer, virtual_reference, walsh
from ferritin.errors import FormatError, ParameterError, ShapeError
from synthetic import synthetic


def weights_of(combine, s, **options):
    """The weights, read off by combining unit images: the sum of conj(weight) · image is linear in the image."""
    found = []
    for coil in range(len(s.coil_images)):

        class Probe:
            """The measured coils while the method looks, one coil's unit image when it combines the last echo."""

            shape = s.coil_images.shape
            coil_alone = coil

            def __getitem__(self, key):
                c, e = (int(i) for i in key)
                if e == self.shape[1] - 1:
                    return np.full(self.shape[2:], c == self.coil_alone, np.complex64)
                return s.coil_images[c, e].copy()

        found.append(combine(Probe(), s.scan, **options).echoes[-1].conj())
    return np.stack(found)


@pytest.mark.parametrize(
    ("combine", "least"), [(espirit, 0.998), (walsh, 0.998), (virtual_reference, 0.995), (mcpc3ds, 0.995)]
)
def test_weights_are_the_sensitivities(combine, least):
    s = synthetic(n_coils=4, snr=200)
    weights = weights_of(combine, s)
    overlap = (weights.conj() * s.sensitivities).sum(0)  # both have norm 1
    inside = s.mask & (np.roll(s.mask, 1, 0) & np.roll(s.mask, -1, 0))
    assert np.percentile(np.abs(overlap)[inside], 1) > least - 0.01
    assert np.median(np.abs(overlap)[inside]) > least


@pytest.mark.parametrize("combine", [espirit, walsh])
def test_compression_to_fewer_virtual_coils_costs_little(combine):
    s = synthetic(n_coils=10, snr=100)
    few = combine(s.coil_images, s.scan, n_virtual=7).echoes
    ratio = (np.abs(few[0]) / np.abs(s.echoes[0]))[s.mask]
    assert np.median(ratio) > 0.985


def test_roemer_with_given_sensitivities_is_the_ideal_combination(tmp_path):
    s = synthetic()
    np.save(tmp_path / "maps.npy", s.sensitivities)
    echoes = roemer(s.coil_images, s.scan, sensitivities=str(tmp_path / "maps.npy")).echoes
    np.testing.assert_allclose(echoes, s.echoes, atol=1e-3)


def test_sensitivities_that_do_not_fit_are_refused(tmp_path):
    s = synthetic()
    np.save(tmp_path / "maps.npy", s.sensitivities[:3])
    with pytest.raises(ShapeError, match=r"\(3, 24, 30, 20\), expected complex .* \(5, 24, 30, 20\)"):
        roemer(s.coil_images, s.scan, sensitivities=str(tmp_path / "maps.npy"))
    (tmp_path / "maps.txt").write_text("no")
    with pytest.raises(FormatError, match=r"not a \.npy file"):
        roemer(s.coil_images, s.scan, sensitivities=str(tmp_path / "maps.txt"))
    np.savez(tmp_path / "maps.npz", a=s.sensitivities)
    with pytest.raises(FormatError, match="archive of \\['a'\\], expected one array"):
        roemer(s.coil_images, s.scan, sensitivities=str(tmp_path / "maps.npz"))


def test_espirits_kernel_must_fit_its_region():
    s = synthetic()
    with pytest.raises(ParameterError, match=r"kernel = 8, coils.region = 8"):
        espirit(s.coil_images, s.scan, region=8, kernel=8)
