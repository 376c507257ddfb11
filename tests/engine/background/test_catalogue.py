"""Every background removal: an outer sphere's field goes, an inner one's stays; linear methods are linear."""

import numpy as np
import pytest

from ferritin import background
from ferritin.errors import InputError, ParameterError
from ferritin.registry import methods
from properties.fields import grid, scan_of, sphere_field

FILTERS = ("highpass", "homodyne")  # they take off what is wide, whatever its source
METHODS = {m.name: m for m in methods("background") if m.name not in FILTERS}
LINEAR = ("harperella", "ismv", "lbv", "pdf", "resharp", "sharp", "vsharp", "highpass")
SCAN = scan_of((72, 72, 72), b0_dir=(0.2, 0.1, 0.97))
X, Y, Z = grid(SCAN)
R2 = X**2 + Y**2 + Z**2
MASK = R2 < 28**2
HZ = np.float32(SCAN.hz_per_ppm)
OUTER = sphere_field(SCAN, 6.0, 9.4, centre=(36, 36, -4)) * HZ * MASK
INNER = sphere_field(SCAN, 4.0) * HZ * MASK


@pytest.mark.parametrize("name", METHODS)
def test_outer_field_goes(name):
    local, mask, _ = METHODS[name](OUTER, MASK, SCAN)
    before = np.linalg.norm(OUTER[mask] - OUTER[mask].mean())
    assert np.linalg.norm(local[mask]) < 0.01 * before
    assert not (mask & ~MASK).any()


@pytest.mark.parametrize("name", METHODS)
def test_inner_field_stays(name):
    local, _, _ = METHODS[name](INNER, MASK, SCAN)
    near = (R2 < 12**2) & (R2 > 5**2)
    assert (local * INNER)[near].sum() / (INNER**2)[near].sum() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name):
    method = getattr(background, name)
    once, ten = (method(f, MASK, SCAN).local_field for f in (INNER + OUTER, 10 * (INNER + OUTER)))
    np.testing.assert_allclose(ten, 10 * once, atol=2e-3 * np.abs(ten).max())


def test_pdf_uses_the_noise_map():
    """Voxels of enormous noise do not spoil the rest."""
    bad, noise = OUTER + INNER, np.ones_like(OUTER)
    spots = MASK & (np.random.default_rng(0).random(MASK.shape) < 0.01)
    bad = np.where(spots, np.float32(500), bad)
    noise[spots] = 1e5
    near = (R2 < 12**2) & (R2 > 5**2) & ~spots
    weighted, plain = (background.pdf(bad, MASK, SCAN, n).local_field for n in (noise, None))
    assert np.abs(weighted - INNER)[near].max() < 3
    assert np.abs(plain - INNER)[near].max() > 30


def test_highpass_takes_off_what_is_wide():
    """A wave of wavelength L keeps 1 - exp(-2π²σ²/L²) of its amplitude."""
    for length in (16.0, 48.0):
        wave = np.cos(2 * np.pi * X / length).astype(np.float32)
        local = background.highpass(wave, np.ones_like(MASK), SCAN, sigma_mm=5.0).local_field
        deep = (slice(24, 48),) * 3
        kept = (local * wave)[deep].sum() / (wave**2)[deep].sum()
        assert kept == pytest.approx(1 - np.exp(-2 * np.pi**2 * 25 / length**2), abs=0.03)


def test_homodyne_of_wrapped_echoes():
    """A steep linear field over a narrow one: the narrow one is left, wraps and all."""
    scan = SCAN.replace(te_s=(0.005, 0.015), polarity=(1, 1))
    narrow = 3 * np.exp(-R2 / (2 * 2.0**2)).astype(np.float32)
    field = narrow + 2 * X.astype(np.float32)
    echoes = np.stack([np.exp(2j * np.pi * field * te) for te in scan.te_s]).astype(np.complex64)
    local = background.homodyne(echoes, MASK, scan, window=0.25).local_field
    assert local[36, 36, 36] == pytest.approx(3, rel=0.35)
    assert np.abs(local[MASK & (R2 > 12**2) & (R2 < 20**2)]).max() < 1.5


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("sharp", {"threshold": 1.0}),
        ("sharp", {"radius_mm": 60.0}),
        ("sharp", {"radius_mm": 0.5}),
        ("resharp", {"radius_mm": 0.5}),
        ("ismv", {"radius_mm": 0.5}),
        ("msmv", {"radius_mm": 0.5}),
        ("resharp", {"lambda_": -1.0}),
        ("msmv", {"threshold": 0.0}),
        ("highpass", {"sigma_mm": 0.0}),
        ("ismv", {"iterations": 0}),
    ],
)
def test_absurd_parameters_are_refused(name, bad):
    with pytest.raises(ParameterError):
        getattr(background, name)(OUTER, MASK, SCAN, **bad)


def test_absurd_window_is_refused():
    with pytest.raises(ParameterError, match="window"):
        background.homodyne(np.zeros((1, *MASK.shape), np.complex64), MASK, SCAN, window=2.0)


def test_a_slice_has_no_laplacian():
    slice_ = MASK & (np.arange(72) == 36)
    with pytest.raises(InputError, match="three voxels thick"):
        background.harperella(OUTER, slice_, SCAN)
