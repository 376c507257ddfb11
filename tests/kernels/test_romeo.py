"""ROMEO against a plain Python reading of the paper, and on phase whose truth is known."""

import heapq

import numpy as np
import pytest

import ferritin_kernels
from ferritin_kernels.meaning import romeo as meaning

TE = (0.004, 0.009, 0.014)


def phantom(shape=(14, 12, 13), sd=0.05, seed=0):
    """Wrapped echoes of a field with steep and flat parts; and the field [Hz]."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    field = 150 * np.exp(-3 * ((x - 0.3) ** 2 + y**2 + (z + 0.2) ** 2)) + 60 * x - 40 * y * z
    magnitude = np.where(x**2 + y**2 + z**2 < 0.8, 1.0, 0.1)
    t = np.reshape(TE, (-1, 1, 1, 1))
    echoes = magnitude * np.exp(-20 * t + 2j * np.pi * field * t)
    noise = rng.standard_normal((2, *echoes.shape)) * sd
    return (echoes + noise[0] + 1j * noise[1]).astype(np.complex64), field


def prim(phase, weight, mask):
    """Maximum spanning tree with real-valued weights and a heap: the algorithm without its quantisation."""
    stride = np.array((phase.shape[1] * phase.shape[2], phase.shape[2], 1))
    w, out, done = weight.reshape(3, -1), phase.astype(float).ravel(), ~mask.ravel()
    start = np.nanargmax(w.sum(axis=0))
    done[start], heap = True, []

    def push(v):
        for axis, s in enumerate(stride):
            for at, to in ((v, v + s), (v - s, v - s)):
                if at >= 0 and w[axis, at] > 0 and not done[to]:
                    heapq.heappush(heap, (-w[axis, at], v, to))

    push(start)
    while heap:
        _, known, fresh = heapq.heappop(heap)
        if not done[fresh]:
            out[fresh] -= 2 * np.pi * np.round((out[fresh] - out[known]) / (2 * np.pi))
            done[fresh] = True
            push(fresh)
    return out.reshape(phase.shape)


def options(echoes, bright=0.0):
    phase = np.angle(echoes)
    return {"second": phase[1], "te_ratio": TE[0] / TE[1], "magnitude": abs(echoes[0]), "bright": bright}


@pytest.mark.parametrize("shape", [(7, 6, 5), (1, 4, 9), (5, 1, 1), (2, 2, 2), (3, 33, 1), (4, 3, 40)])
@pytest.mark.parametrize("kind", ["phase", "all", "bright", "masked"])
def test_weights_and_quality_mean_what_the_paper_says(shape, kind):
    echoes, _ = phantom(shape, sd=0.2)
    phase = np.angle(echoes[0])
    mask = np.random.default_rng(1).random(shape) > 0.3 if kind == "masked" else None
    extra = {} if kind == "phase" else options(echoes, 0.9 if kind == "bright" else 0.0)
    expected = meaning.weights(phase.astype(float), mask, **extra)
    cost = ferritin_kernels.romeo_weights(phase, mask, **extra)
    assert np.array_equal(cost == 0, np.isnan(expected))
    difference = abs(cost.astype(int) - meaning.cost(expected))
    assert difference.max(initial=0) <= 1
    assert np.mean(difference > 0) < 0.01
    quality = ferritin_kernels.romeo_quality(phase, mask, **extra)
    np.testing.assert_allclose(quality, meaning.quality(expected), atol=2e-6)


def test_complex_magnitude_is_read_in_place():
    echoes, _ = phantom()
    extra = options(echoes)
    cost = ferritin_kernels.romeo_weights(np.angle(echoes[0]), **extra)
    extra["magnitude"] = echoes[0]
    assert np.abs(cost.astype(int) - ferritin_kernels.romeo_weights(np.angle(echoes[0]), **extra)).max() <= 1


@pytest.mark.parametrize("seed", range(6))
def test_growing_is_the_plain_algorithm(seed):
    echoes, _ = phantom(sd=0.3, seed=seed)
    mask = np.random.default_rng(seed).random(echoes.shape[1:]) > 0.35  # in pieces
    phase = np.angle(echoes[0])
    cost = ferritin_kernels.romeo_weights(phase, mask, **options(echoes))
    expected, expected_regions = meaning.grow(phase, cost, mask)
    regions, number = ferritin_kernels.romeo_grow(phase, cost, mask)
    assert number == expected_regions.max() > 1
    np.testing.assert_array_equal(regions, expected_regions)
    np.testing.assert_allclose(phase, expected, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_growing_is_the_spanning_tree_but_for_ties(seed):
    echoes, _ = phantom(sd=0.05, seed=seed)
    mask = np.ones(echoes.shape[1:], bool)
    phase = np.angle(echoes[0])
    expected = prim(phase, meaning.weights(phase.astype(float), mask, **options(echoes)), mask)
    ferritin_kernels.romeo_grow(phase, ferritin_kernels.romeo_weights(phase, mask, **options(echoes)), mask)
    turns = np.round((phase - expected) / (2 * np.pi))
    assert np.mean(turns != np.median(turns)) < 0.01


def test_known_phase_comes_back_in_every_echo():
    echoes, field = phantom(sd=0.01)
    mask = abs(echoes[0]) > 0.5
    for given in (echoes, np.angle(echoes)):
        result = ferritin_kernels.romeo(given, TE, mask)
        truth = 2 * np.pi * np.reshape(TE, (-1, 1, 1, 1)) * field
        assert np.abs(result.phase - truth)[:, mask].max() < 0.2
        assert np.all(result.phase[:, ~mask] == 0)
    backwards = ferritin_kernels.romeo(echoes, TE, mask, template=1, second=0)
    assert np.abs(backwards.phase - truth)[:, mask].max() < 0.2


def test_twenty_turns_of_a_ramp_with_noise():
    """Acceptance test 6: a ramp of 20 wraps."""
    ramp = np.linspace(0, 40 * np.pi, 128)[:, None, None] * np.ones((1, 8, 8))
    noisy = ramp + np.random.default_rng(0).standard_normal(ramp.shape) * 0.2
    result = ferritin_kernels.romeo(np.angle(np.exp(1j * noisy))[None].astype(np.float32), (0.01,))
    error = result.phase[0] - noisy
    assert np.ptp(error) < 1e-3


def test_separate_pieces_get_their_own_turns():
    """Acceptance test 6: two disconnected objects, 600 Hz apart, are both right with the second echo's help."""
    field = np.zeros((20, 6, 6))
    field[11:] = 600
    field += np.linspace(-20, 20, 6)
    mask = np.ones(field.shape, bool)
    mask[9:11] = False
    te = (0.003, 0.0041, 0.0052)
    t = np.reshape(te, (-1, 1, 1, 1))
    result = ferritin_kernels.romeo(np.exp(2j * np.pi * field * t).astype(np.complex64), te, mask)
    assert result.n_regions == 2
    assert np.abs(result.phase - 2 * np.pi * field * t)[:, mask].max() < 1e-3


def test_retry_in_space_mends_a_wrong_step_in_time():
    """An offset at TE = 0 makes the step in time wrong by whole turns in places; the retry joins them up again."""
    echoes, field = phantom(sd=0.01)
    echoes *= np.exp(0.9j)
    mask = abs(echoes[0]) > 0.5
    once, twice = (ferritin_kernels.romeo(echoes, TE, mask, retry_below=q).phase[2] for q in (0, 0.5))
    truth = 2 * np.pi * TE[2] * field

    def wrong(phase):
        turns = np.round((phase - truth)[mask] / (2 * np.pi))
        return np.mean(turns != np.median(turns))

    assert wrong(twice) <= wrong(once)
    assert wrong(twice) == 0


def test_not_a_number_stops_no_growth():
    echoes, field = phantom(sd=0.01)
    echoes[:, 5, 5, 5] = np.nan
    result = ferritin_kernels.romeo(echoes, TE)
    bright = abs(echoes[0]) > 0.5
    assert np.abs(result.phase - 2 * np.pi * np.reshape(TE, (-1, 1, 1, 1)) * field)[:, bright].max() < 0.2


def test_wrong_arguments_say_what_to_do():
    echoes, _ = phantom((4, 4, 4))
    phase = np.angle(echoes[0])
    with pytest.raises(ValueError, match="second is float32"):
        ferritin_kernels.romeo_weights(phase, second=phase[1:])
    with pytest.raises(ValueError, match="see romeo_weights"):
        ferritin_kernels.romeo_grow(phase, np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="must be two of the 3 echoes"):
        ferritin_kernels.romeo(echoes, TE, second=3)
