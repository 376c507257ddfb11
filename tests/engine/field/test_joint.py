"""The joint estimator on tissue around an air bubble: field by formula, dephasing, noise, polarity, offsets."""

import numpy as np
import pytest

from ferritin.errors import InputError
from ferritin.field import joint, linear
from ferritin.scan import Scan

A, B, C = (4.0, 12.0, 20.0, 28.0), (4.0, 8.0, 12.0, 16.0), (3.0, 6.0, 9.0, 12.0, 15.0)


def bubble(
    te_ms=A,
    snr=50.0,
    chi_ppm=3.0,
    polarity=(),
    shape=(44, 40, 36),
    seed=0,
    extra_offset=0.0,
    polarity_slope=1.5,
    structure_ppm=0.0,
):
    """Echoes, scan, mask and true field [Hz] of a ball with an air bubble in it, 2 mm voxels, 7 T, noise sd 1.

    structure_ppm: how far the field that the signal of a voxel sees is from the true one at its centre.
    """
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*((np.arange(n) - n / 2 + 0.5) * 2.0 for n in shape), indexing="ij")
    r2, radius = x**2 + y**2 + z**2, 9.0
    mask = (r2 < 34**2) & (r2 > (radius + 1) ** 2)
    dipole = (3 * z**2 / np.maximum(r2, 1) - 1) * (radius**2 / np.maximum(r2, 1)) ** 1.5
    field = 298.0 * chi_ppm / 3 * dipole + 0.8 * x - 0.01 * y * z
    te = np.asarray(te_ms)[:, None, None, None] * 1e-3
    phase = (
        0.5
        - x**2 / 3000
        + y / 60
        + extra_offset
        + 2 * np.pi * (field + 298.0 * structure_ppm * rng.normal(size=shape)) * te
    )
    signal = snr * np.exp(-30 * te + 1j * phase)
    for slope in np.gradient(field):
        signal = signal * np.sinc(slope * te)
    for e, sign in enumerate(polarity):
        signal[e] *= np.exp(1j * (sign != polarity[0]) * (0.4 + polarity_slope * x / 88))
    noise = rng.normal(size=(2, *signal.shape))
    echoes = (signal * (r2 > radius**2) + noise[0] + 1j * noise[1]).astype(np.complex64)
    scan = Scan(
        te_s=tuple(1e-3 * t for t in te_ms), b0_t=7.0, affine=np.diag([2, 2, 2, 1.0]), shape=shape, polarity=polarity
    )
    return echoes, scan, mask, field.astype(np.float32)


def errors(result, field, mask):
    e = (result.total_field - field)[mask]
    return e - np.median(e)


def true_wrap_fit(echoes, scan, mask, field):
    """The yardstick: weighted linear fit with a free offset, wraps taken from the truth."""
    te = np.asarray(scan.te_s)[:, None, None, None]
    truth = 2 * np.pi * field * te
    first = np.angle(echoes[:1] * np.exp(-1j * truth[:1]))
    phase = (truth + first + np.angle(echoes * np.exp(-1j * (truth + first)))).astype(np.float32)
    return errors(linear(echoes, phase, mask, scan, 1.0), field, mask)


@pytest.mark.parametrize("te_ms", [A, B, C, (5.0, 11.0, 17.0), (4.92, 9.84, 14.76, 19.68), (4.0, 9.0)])
def test_better_than_a_fit_with_a_free_offset_and_true_wraps(te_ms):
    echoes, scan, mask, field = bubble(te_ms)
    error, yardstick = errors(joint(echoes, mask, scan, 1.0), field, mask), true_wrap_fit(echoes, scan, mask, field)
    assert np.percentile(np.abs(error), 95) < 0.95 * np.percentile(np.abs(yardstick), 95)
    assert np.median(np.abs(error)) < 0.85 * np.median(np.abs(yardstick))
    turn = 1e3 / np.diff(te_ms).min()
    assert np.mean(np.abs(error) > turn / 4) <= 2 * np.mean(np.abs(yardstick) > turn / 4) + 2e-4


@pytest.mark.parametrize("te_ms", [A, B, C, (3.0, 7.0, 11.0)])
def test_alternating_polarity_costs_nothing_but_noise(te_ms):
    polarity = tuple((-1) ** e for e in range(len(te_ms)))
    echoes, scan, mask, field = bubble(te_ms, polarity=polarity)
    result = joint(echoes, mask, scan, 1.0)
    error, yardstick = errors(result, field, mask), true_wrap_fit(*bubble(te_ms))
    assert np.percentile(np.abs(error), 95) < 1.1 * np.percentile(np.abs(yardstick), 95)
    assert any("polarities removed" in note for note in result.record.notes)


def test_two_echoes_of_opposite_polarity_keep_all_but_the_linear_part():
    echoes, scan, mask, field = bubble((4.0, 9.0), polarity=(1, -1))
    result = joint(echoes, mask, scan, 1.0)
    x = np.broadcast_to(np.arange(44.0)[:, None, None], mask.shape)[mask]
    left = (result.total_field - field)[mask]
    left -= np.polyval(np.polyfit(x, left, 1), x)
    assert np.percentile(np.abs(left), 95) < 4
    assert any("opposite polarity" in note for note in result.record.notes)


@pytest.mark.parametrize("snr", [20.0, 60.0])
def test_noise_is_calibrated_where_the_field_is_smooth(snr):
    echoes, scan, mask, field = bubble(snr=snr, chi_ppm=1.0, seed=2, structure_ppm=1.3e-3)  # as in simulated heads
    result = joint(echoes, mask, scan, 1.0)
    smooth = mask & (np.sqrt(sum(g**2 for g in np.gradient(field))) < 3)
    error = (result.total_field - field)[smooth]
    within = np.mean(np.abs(error - np.median(error)) < result.field_noise[smooth])
    assert 0.62 < within < 0.92  # the noise also allows for the ringing of tissue edges, of which this object has none


def test_noise_level_is_found_when_it_is_not_known():
    echoes, scan, mask, _ = bubble(snr=30.0)
    known, found = joint(echoes, mask, scan, 1.0), joint(echoes * np.float32(7), mask, scan)
    assert np.median(found.field_noise[mask] / known.field_noise[mask]) == pytest.approx(1, abs=0.1)
    assert np.median(np.abs(found.total_field - known.total_field)[mask]) < 0.05
    assert "roughness" in found.record.notes[0]


def test_an_open_fringe_in_the_offset_leaves_the_field_as_it_is():
    x, y = np.meshgrid(np.arange(44) - 30.2, np.arange(40) - 12.7, indexing="ij")
    vortex = np.arctan2(y, x)[:, :, None]
    echoes, scan, mask, field = bubble(chi_ppm=1.0, extra_offset=vortex)
    error = errors(joint(echoes, mask, scan, 1.0), field, mask)
    assert np.mean(np.abs(error) > 20) < 3e-3


def test_separate_pieces_of_the_mask_each_get_a_field():
    echoes, scan, mask, field = bubble(chi_ppm=1.0)
    mask[:, 18:22] = False
    error = np.abs(joint(echoes, mask, scan, 1.0).total_field - field)
    for piece in (np.s_[:, :18], np.s_[:, 22:]):
        assert np.mean(error[piece][mask[piece]] > 30) < 1e-3


def test_noise_voxels_take_the_field_of_their_neighbours():
    echoes, scan, mask, field = bubble(chi_ppm=0.5)
    rng = np.random.default_rng(5)
    hole = np.zeros_like(mask)
    hole[8:11, 18:21, 20:23] = True
    hole &= mask
    noise = rng.normal(size=(2, *echoes.shape))
    echoes[:, hole] = (noise[0] + 1j * noise[1])[:, hole]
    result = joint(echoes, mask, scan, 1.0)
    assert np.percentile(np.abs(result.total_field - field)[hole], [50, 90]).tolist() < [15, 80]
    assert np.median(result.field_noise[hole]) > 10 * np.median(result.field_noise[mask & ~hole])


@pytest.mark.parametrize("pattern", ["alternating", "random"])
def test_slices_with_offsets_of_their_own_leave_the_field_as_it_is(pattern):
    """Slices that are excited one by one: GE alternates by half a turn, others by whatever the synthesiser has."""
    n = 36
    jumps = {"alternating": np.pi * (np.arange(n) % 2), "random": np.random.default_rng(3).uniform(-3, 3, n)}[pattern]
    plain, by_slice = (bubble(chi_ppm=1.0, extra_offset=extra) for extra in (0.0, jumps))
    same, found = (joint(echoes, mask, scan, 1.0) for echoes, scan, mask, _ in (plain, by_slice))
    mask, field = plain[2:]
    assert not any("slice" in note for note in same.record.notes)
    assert any("from slice to slice" in note for note in found.record.notes)
    spread = [np.percentile(np.abs(errors(result, field, mask)), (50, 95, 99)) for result in (same, found)]
    np.testing.assert_allclose(spread[1], spread[0], rtol=0.1)


def test_reliability_is_low_where_turns_are_wrong_and_the_offset_is_the_phase_at_zero():
    echoes, scan, mask, field = bubble(chi_ppm=6.0, seed=3)
    result = joint(echoes, mask, scan, 1.0)
    error = np.abs(errors(result, field, mask))
    reliability = result.field_reliability[mask]
    assert (error > 125).any()  # half a turn of the first echo
    assert reliability[error > 125].mean() < 0.9 * reliability[error < 20].mean()
    assert reliability[error < 20].mean() > 0.99
    assert 0 <= reliability.min() <= reliability.max() <= 1
    x, y = np.ogrid[-43:44:2, -39:40:2]
    left = np.exp(1j * (result.phase_offset - (0.5 - x**2 / 3000 + y / 60)[..., None]))[mask]
    assert np.median(np.abs(np.angle(left))) < 0.05
    assert not result.field_reliability[~mask].any()


def test_not_finite_samples_do_no_harm():
    echoes, scan, mask, _ = bubble(chi_ppm=0.5)
    echoes[:, 20, 30, 18] = np.nan
    echoes[1, 22, 30, 18] = np.inf
    result = joint(echoes, mask, scan, 1.0)
    assert np.isfinite(result.total_field).all()
    assert np.isfinite(result.field_noise).all()


def test_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    echoes, scan, mask, _ = bubble()
    results = []
    for n in ("1", "3"):
        monkeypatch.setenv("FERRITIN_THREADS", n)
        results.append(joint(echoes, mask, scan, 1.0))
    assert (results[0].total_field == results[1].total_field).all()
    assert (results[0].field_noise == results[1].field_noise).all()


def test_scaling_the_echoes_and_the_noise_changes_nothing():
    echoes, scan, mask, _ = bubble()
    one, other = joint(echoes, mask, scan, 1.0), joint(echoes * np.float32(4), mask, scan, 4.0)
    assert np.abs(one.total_field - other.total_field).max() < 1e-3


def test_conjugated_echoes_give_the_negative_field():
    echoes, scan, mask, _ = bubble(chi_ppm=1.0)
    one, other = joint(echoes, mask, scan, 1.0), joint(echoes.conj(), mask, scan, 1.0)
    assert np.percentile(np.abs(one.total_field + other.total_field)[mask], 99) < 0.05


def test_outside_the_mask_is_zero_and_the_echoes_are_untouched():
    echoes, scan, mask, _ = bubble()
    before = echoes.copy()
    result = joint(echoes, mask, scan, 1.0)
    assert (echoes == before).all()
    assert not result.total_field[~mask].any()
    assert not result.field_noise[~mask].any()
    assert result.total_field.dtype == result.field_noise.dtype == np.float32


def test_too_little_is_an_error():
    echoes, scan, mask, _ = bubble((4.0, 9.0))
    with pytest.raises(InputError, match="mask is empty"):
        joint(echoes, np.zeros_like(mask), scan, 1.0)
    with pytest.raises(InputError, match="two echoes, got one"):
        joint(echoes[:1], mask, scan.replace(te_s=scan.te_s[:1], polarity=()), 1.0)
    with pytest.raises(InputError, match="give noise_sd"):
        joint(np.zeros_like(echoes), mask, scan)
