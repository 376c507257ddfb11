"""Every combination of coils: signal and noise of the ideal weights, phase evolution untouched, memory flat."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from ferritin.errors import InputError
from ferritin.registry import methods
from synthetic import synthetic

METHODS = {m.name: m.function for m in methods("coils")}
MULTI_ECHO = {"mcpc3ds"}
COMPRESSED = {"espirit": 12, "walsh": 12}
"""Methods whose memory grows up to so many virtual coils."""


class Lazy:
    """Coil images that are made when they are read, and count how often."""

    def __init__(self, images):
        self._images, self.shape, self.noise_sd = images, images.shape, 1.0
        self.reads = {}

    def __getitem__(self, key):
        coil, echo = key
        self.reads[int(coil), int(echo)] = self.reads.get((coil, echo), 0) + 1
        return self._images[coil, echo].copy()


@pytest.fixture(params=sorted(METHODS))
def combine(request):
    return METHODS[request.param]


def test_signal_and_noise_are_those_of_the_ideal_weights(combine, xp, to_xp, to_np):
    s = synthetic()
    echoes, noise_sd, _ = combine(to_xp(s.coil_images), s.scan)
    echoes = to_np(echoes)
    assert echoes.dtype == np.complex64
    assert noise_sd == 1
    ratio = np.abs(echoes) / np.abs(s.echoes)
    assert np.percentile(ratio[0][s.mask], 1) > 0.97
    assert np.median(ratio[:, s.mask]) == pytest.approx(1, abs=0.008)


def test_an_unknown_noise_level_stays_unknown(combine):
    s = synthetic(n_coils=3)
    lazy = Lazy(s.coil_images)
    lazy.noise_sd = None
    assert combine(lazy, s.scan).noise_sd is None


def test_noise_sd_is_one_in_every_later_echo(combine):
    s = synthetic(seed=3)
    echoes = combine(s.coil_images, s.scan).echoes
    for echo in echoes[1:, ~s.mask]:  # outside the ball there is only noise; echo 1 also makes the weights
        assert echo.real.std() == pytest.approx(1, abs=0.03)
        assert echo.imag.std() == pytest.approx(1, abs=0.03)
        assert abs(echo.mean()) < 0.05


def test_phase_between_echoes_and_decay_are_untouched(combine):
    s = synthetic(snr=2000)
    echoes = combine(s.coil_images, s.scan).echoes[:, s.mask]
    ideal = s.echoes[:, s.mask]
    relative = (echoes[1:] / echoes[0]) / (ideal[1:] / ideal[0])
    assert np.abs(relative - 1).max() < 0.01


def test_a_bipolar_readout_does_not_disturb_the_weights(combine):
    s = synthetic(polarity=(1, -1, 1, -1))
    echoes = combine(s.coil_images, s.scan).echoes
    assert np.percentile((np.abs(echoes[0]) / np.abs(s.echoes[0]))[s.mask], 1) > 0.97


def test_images_are_read_one_by_one_and_seldom(combine):
    s = synthetic(n_coils=4)
    lazy = Lazy(s.coil_images)
    combine(lazy, s.scan)
    assert set(lazy.reads) == {(c, e) for c in range(4) for e in range(4)}
    assert sum(lazy.reads.values()) <= 4 * (4 + 2)


def test_memory_does_not_grow_with_the_coils(combine, request):
    few = COMPRESSED.get(request.node.callspec.params["combine"], 4)
    peaks = []
    for n_coils in (few, few + 12):
        s = synthetic(shape=(48, 48, 40), te_ms=(4.0, 12.0), n_coils=n_coils, voxel_mm=(1.0, 1.0, 1.0))
        tracemalloc.start()
        combine(Lazy(s.coil_images), s.scan)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.15 * peaks[0]


def test_one_echo(combine, request):
    s = synthetic(te_ms=(4.0,))
    if request.node.callspec.params["combine"] in MULTI_ECHO:
        with pytest.raises(InputError, match="two echoes, got one"):
            combine(s.coil_images, s.scan)
    else:
        echoes = combine(s.coil_images, s.scan).echoes
        assert np.percentile((np.abs(echoes) / np.abs(s.echoes))[0, s.mask], 1) > 0.97


def test_progress_reaches_the_end(combine):
    s = synthetic(n_coils=3)
    calls = []
    combine(s.coil_images, s.scan, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1]
    assert all(a[0] < b[0] for a, b in pairwise(calls))
