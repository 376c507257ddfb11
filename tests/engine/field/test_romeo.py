"""ROMEO against a plain reading of the paper's algorithm, and against fields that are known."""

import heapq

import numpy as np
import pytest

from ferritin.errors import DeviceError, InputError, ParameterError
from ferritin.field import romeo
from strict import xp as strict
from synthetic import synthetic

TURN = 2 * np.pi


def wrap(x):
    return x - TURN * np.round(x / TURN)


def edge_weight(phase, second, ratio, magnitude, axis, i, terms, bright):
    """Weight of the edge from voxel i (a tuple) to the next along the axis: the paper's terms, one after the other."""
    step = np.eye(3, dtype=int)[axis]
    j, h, k = (tuple(np.array(i) + n * step) for n in (1, -1, 2))
    difference = wrap(phase[j] - phase[i])
    factors = [1 - abs(difference) / np.pi]
    if "gradient" in terms and second is not None:
        factors.append(max(0, 1 - abs(difference - ratio * wrap(second[j] - second[i]))))
    if "linear" in terms:
        if i[axis] > 0 and k[axis] < phase.shape[axis]:
            bends = wrap(phase[h] - 2 * phase[i] + phase[j]), wrap(phase[i] - 2 * phase[j] + phase[k])
            factors.append(np.prod([max(0, 1 - abs(b) / 2) for b in bends]))
        else:
            factors.append(0.9)
    small, big = sorted((magnitude[i], magnitude[j]))
    factors.append((small / big) ** 2)
    if "magnitude" in terms:
        factors.append(0.5 + 0.5 * min(1, small / (0.5 * bright)))
        factors.append(0.5 + 0.5 * min(1, 0.5 * bright / big))
    return np.prod([0.1 + 0.9 * f for f in factors])


def grow(phase, cost, mask):
    """Unwrap along the cheapest edge that leaves what is unwrapped; first come, first served among equals."""
    out, done = phase.copy(), ~mask
    sums = np.where(mask, np.where(cost == 0, 255, cost).sum(axis=0), 10**6)
    start = np.unravel_index(np.argmin(sums), mask.shape)
    heap, count = [], 0

    def push(v):
        nonlocal count
        for axis, step in enumerate(np.eye(3, dtype=int)):
            for at, to in ((v, tuple(v + step)), (tuple(v - step), tuple(v - step))):
                if min(at) >= 0 and cost[axis][tuple(at)] and not done[to]:
                    heapq.heappush(heap, (cost[axis][tuple(at)], count, tuple(v), to))
                    count += 1

    done[start] = True
    push(np.array(start))
    while heap:
        _, _, known, fresh = heapq.heappop(heap)
        if not done[fresh]:
            out[fresh] -= TURN * np.round((out[fresh] - out[known]) / TURN)
            done[fresh] = True
            push(np.array(fresh))
    return out


def plain_romeo(echoes, mask, te, template, terms):
    """The paper's algorithm: weights, 255 whole-number costs, growing, and the other echoes in time."""
    phase, n = np.angle(echoes).astype(float), len(te)
    other = template - 1 if template else 1
    magnitude = abs(echoes[template])
    bright = np.percentile(magnitude[mask], 95)
    cost = np.zeros((3, *mask.shape), int)
    for axis in range(3):
        for i in np.ndindex(mask.shape):
            j = tuple(np.array(i) + np.eye(3, dtype=int)[axis])
            if j[axis] < mask.shape[axis] and mask[i] and mask[j]:
                arguments = phase[template], phase[other], te[template] / te[other], magnitude, axis, i, terms, bright
                cost[(axis, *i)] = max(1, min(255, round((1 - edge_weight(*arguments)) * 255)))
    out = phase.copy()
    out[template] = grow(phase[template], cost, mask)
    for e in sorted(range(n), key=lambda e: abs(e - template))[1:]:
        known = e - 1 if e > template else e + 1
        out[e] -= TURN * np.round((out[e] - out[known] * te[e] / te[known]) / TURN)
    return out * mask


def small_scan(seed, snr=200.0, peak_hz=70.0):
    s = synthetic(shape=(11, 12, 10), te_ms=(5.0, 11.0, 16.0), peak_hz=peak_hz, snr=snr, seed=seed)
    t = np.reshape(s.scan.te_s, (-1, 1, 1, 1))
    return s, (s.echoes * np.exp(-1j * s.offset)).astype(np.complex64), TURN * t * s.field_hz


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("weights", "terms"),
    [
        ("romeo", ("gradient", "linear")),
        ("romeo2", ()),
        ("romeo3", ("gradient",)),
        ("romeo4", ("gradient", "linear")),
        ("romeo6", ("gradient", "linear", "magnitude")),
    ],
)
def test_the_plain_algorithm_gives_the_same(seed, weights, terms):
    s, echoes, _ = small_scan(seed, 8.0, 260.0)
    expected = plain_romeo(echoes, s.mask, s.scan.te_s, 0, terms)
    found = romeo(echoes, s.mask, s.scan, weights=weights).unwrapped_phase
    turns = np.rint((found - expected)[:, s.mask] / TURN)
    assert np.abs((found - expected)[:, s.mask] - TURN * turns).max() < 1e-4
    turns -= np.median(turns[0]) * np.round(np.reshape(s.scan.te_s, (-1, 1)) / s.scan.te_s[0])
    assert np.mean(turns[0] != 0) < 0.01  # ties, and costs that round the other way
    assert not found[:, ~s.mask].any()


@pytest.mark.parametrize("template", [2, 3])
def test_another_template_is_the_plain_algorithm_too(template):
    s, echoes, _ = small_scan(5, 30.0)
    expected = plain_romeo(echoes, s.mask, s.scan.te_s, template - 1, ("gradient", "linear"))
    found = romeo(echoes, s.mask, s.scan, template_echo=template).unwrapped_phase
    turns = np.rint((found - expected)[template - 1][s.mask] / TURN)
    assert np.mean(turns != np.median(turns)) < 0.01


@pytest.mark.parametrize("options", [{}, {"individual": True}, {"retry_below": 0.5}, {"template_echo": 2}])
def test_known_phase_comes_back_in_every_echo(options):
    s, echoes, truth = small_scan(1)
    result = romeo(echoes, s.mask, s.scan, **options)
    assert np.abs(result.unwrapped_phase - truth)[:, s.mask].max() < 0.5
    assert result.record.notes == ()


def test_individual_echoes_survive_a_phase_offset():
    """An offset that the step in time does not know: in space every echo is right but for one constant."""
    s, echoes, truth = small_scan(1)
    echoes *= np.exp(5j * s.offset)

    def jumps(phase):
        turns = np.rint((phase - truth - 5 * s.offset)[:, s.mask] / TURN)
        return np.mean(turns != np.median(turns, axis=1, keepdims=True))

    together, alone = (romeo(echoes, s.mask, s.scan, individual=individual) for individual in (False, True))
    assert jumps(alone.unwrapped_phase) == 0
    assert jumps(together.unwrapped_phase) > 0
    assert "individual=true" in together.record.notes[0]


def test_pieces_of_the_mask_are_noted_and_right():
    s, echoes, truth = small_scan(1)
    mask = s.mask.copy()
    mask[5] = False
    result = romeo(echoes, mask, s.scan)
    assert np.abs(result.unwrapped_phase - truth)[:, mask].max() < 0.5
    assert "2 pieces" in result.record.notes[0]


def test_one_echo_is_unwrapped_in_space():
    s, echoes, truth = small_scan(1)
    found = romeo(echoes[1:2], s.mask, s.scan.__class__((0.011,), 7.0, s.scan.affine, s.scan.shape)).unwrapped_phase
    turns = np.rint((found - truth[1:2])[:, s.mask] / TURN)
    assert (turns == np.median(turns)).all()


def test_wrong_arguments_say_what_to_do():
    s, echoes, _ = small_scan(1)
    with pytest.raises(InputError, match="mask is empty"):
        romeo(echoes, np.zeros_like(s.mask), s.scan)
    with pytest.raises(ParameterError, match="template_echo = 4, expected 1 to 3"):
        romeo(echoes, s.mask, s.scan, template_echo=4)
    with pytest.raises(DeviceError, match="works on host arrays"):
        romeo(strict.asarray(echoes), strict.asarray(s.mask), s.scan)
