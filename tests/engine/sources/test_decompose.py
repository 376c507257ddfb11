"""DECOMPOSE on signals of three pools with known shares: parameters, both readings, and what is refused."""

import numpy as np
import pytest

from ferritin.errors import ParameterError
from ferritin.scan import Scan
from ferritin.sources import decompose
from ferritin.sources.decompose import _Pools
from ferritin.units import hz_per_ppm

SHAPE = (6, 5, 4)
MASK = np.ones(SHAPE, bool)
TE = tuple(0.003 * n for n in range(1, 13))
SCAN = Scan(TE, 3.0, np.eye(4), SHAPE)
FREQUENCY = 2 / 3 * 2 * np.pi * hz_per_ppm(3.0)
DEPHASING = (2 * np.pi) ** 2 * hz_per_ppm(3.0) / (9 * np.sqrt(3))


def voxels(seed=0):
    """Shares and susceptibilities of the pools, R; the magnitude, and the chi whose phase is that of the signal.

    The phase of a mixture is not linear in time: to first order, that of its mean susceptibility.
    """
    rng = np.random.default_rng(seed)
    share = rng.dirichlet((3, 3, 3), SHAPE)
    plus, minus = 0.05 + 0.15 * rng.random(SHAPE), -0.05 - 0.1 * rng.random(SHAPE)
    rate = 10 + 10 * rng.random(SHAPE)
    return share, plus, minus, rate


def signal(share, plus, minus, rate, t):
    pools = (np.exp((-DEPHASING + 1j * FREQUENCY) * plus * t), np.exp((DEPHASING + 1j * FREQUENCY) * minus * t), 1)
    return np.exp(-rate * t) * sum(share[..., i] * p for i, p in enumerate(pools))


def test_static_dephasing_is_323_hz_per_ppm_at_3_t():
    """Yablonskiy and Haacke 1994 for small spheres: R2' = 2π/(9√3) γ B0 χ."""
    assert pytest.approx(323.5, abs=0.2) == DEPHASING


@pytest.mark.parametrize("sign", [1, -1])
def test_one_source_alone_is_found_with_its_share(sign):
    """With a single source in a voxel the phase is that of chi itself."""
    chi = np.full(SHAPE, sign * 0.1, np.float32)
    echoes = np.stack([np.exp(-(15 + DEPHASING * 0.1) * t) * np.ones(SHAPE) for t in TE])
    plus, minus, record = decompose(echoes.astype(np.complex64), chi, MASK, SCAN, iterations=60)
    own, other = (plus, minus) if sign > 0 else (minus, plus)
    np.testing.assert_allclose(own, sign * 0.1, rtol=0.03)
    np.testing.assert_allclose(other, 0, atol=0.003)
    assert record.iterations > 0


def test_pools_are_found_again_from_their_signal():
    """All six parameters of every voxel, from the complex signal of the model itself."""
    share, plus, minus, rate = (v.reshape(-1, *v.shape[3:]) for v in voxels())
    data = np.stack([signal(share, plus, minus, rate, t) for t in TE], axis=1)
    pools = _Pools(np, np.array(TE), 2 * np.pi * hz_per_ppm(3.0), 0.5)
    fitted, _, _ = pools.fit(data, share[:, 0] * plus + share[:, 1] * minus, 300, 0.0)
    truth = np.column_stack((share, plus, minus, rate))
    found = np.abs(fitted - truth).max(axis=1) / rate < 1e-3
    assert found.mean() > 0.9
    positive, negative = pools.sources(fitted, "amplitude")
    np.testing.assert_allclose(positive[found], (share[:, 0] * plus)[found], atol=2e-4)
    np.testing.assert_allclose(negative[found], (share[:, 1] * minus)[found], atol=2e-4)


def test_mixtures_from_magnitude_and_susceptibility():
    """The phase is that of the mean susceptibility alone, which holds to first order: found again in the mean."""
    share, plus, minus, rate = voxels()
    plus, minus = 0.3 * plus, 0.3 * minus
    echoes = np.stack([np.abs(signal(share, plus, minus, rate, t)) for t in TE]).astype(np.complex64)
    positive, negative = share[..., 0] * plus, share[..., 1] * minus
    found = decompose(echoes, (positive + negative).astype(np.float32), MASK, SCAN, iterations=60)
    for ours, truth in zip(found[:2], (positive, negative)):
        assert np.corrcoef(ours.ravel(), truth.ravel())[0, 1] > 0.98
        assert ours.mean() == pytest.approx(truth.mean(), rel=0.04)


def test_the_published_reading_agrees_where_sources_are_weak():
    share, plus, minus, rate = voxels(1)
    plus, minus = 0.02 * plus, 0.02 * minus
    echoes = np.stack([np.abs(signal(share, plus, minus, rate, t)) for t in TE]).astype(np.complex64)
    chi = (share[..., 0] * plus + share[..., 1] * minus).astype(np.float32)
    ours, published = (decompose(echoes, chi, MASK, SCAN, read=r, iterations=20) for r in ("amplitude", "phase"))
    spread = np.abs(ours.chi_positive).max()
    np.testing.assert_allclose(ours.chi_positive, published.chi_positive, atol=0.25 * spread)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_voxel_with_an_echo_that_is_no_number_is_left_out_and_counted(bad):
    """In any echo: it used to stay at the start of the fit. Its neighbours do not notice."""
    share, plus, minus, rate = voxels()
    echoes = np.stack([np.abs(signal(share, plus, minus, rate, t)) for t in TE]).astype(np.complex64)
    chi = (share[..., 0] * plus + share[..., 1] * minus).astype(np.float32)
    whole = decompose(echoes, chi, MASK, SCAN, iterations=5)
    for echo in range(3):
        echoes[4 * echo, 1, 2, echo] = bad
    found = decompose(echoes, chi, MASK, SCAN, iterations=5)
    lost = ~np.isfinite(echoes).all(axis=0)
    for ours, theirs in zip(found[:2], whole[:2]):
        np.testing.assert_allclose(ours, np.where(lost, 0, theirs), atol=1e-6)
    assert f"3 of {MASK.sum()} voxels" in found.record.notes[0]
    assert not whole.record.notes


def test_few_echoes_are_refused():
    echoes = np.ones((3, *SHAPE), np.complex64)
    scan = Scan(TE[:3], 3.0, np.eye(4), SHAPE)
    with pytest.raises(ParameterError, match="4 echoes"):
        decompose(echoes, np.zeros(SHAPE, np.float32), MASK, scan)
