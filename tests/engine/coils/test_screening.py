"""Coils that would spoil the combination are found, named and left out, and no others."""

import numpy as np
import pytest

from ferritin.coils import inati, mcpc3ds
from ferritin.registry import methods
from synthetic import synthetic

METHODS = {m.name: m.function for m in methods("coils")}
BAD = 2


def dead(s, rng):
    s.coil_images[BAD] = (rng.normal(size=(*s.coil_images.shape[1:], 2)) @ (1, 1j)).astype(np.complex64)


def silent(s, rng):
    s.coil_images[BAD] = 0


def noisy(s, rng):
    s.coil_images[BAD] += (20 * rng.normal(size=(*s.coil_images.shape[1:], 2)) @ (1, 1j)).astype(np.complex64)


def unlocked(s, rng):
    """The receiver's phase is another in every line."""
    k = np.fft.fftn(s.coil_images[BAD], axes=(1, 2, 3))
    k *= np.exp(2j * np.pi * rng.random((k.shape[0], 1, *k.shape[2:])))
    s.coil_images[BAD] = np.fft.ifftn(k, axes=(1, 2, 3)).astype(np.complex64)


def turned(s, rng):
    """Its phase jumps between the echoes."""
    s.coil_images[BAD, 1:] *= np.complex64(np.exp(2.2j))


def without(s):
    """The ideal combination of the other coils, noise sd 1."""
    rest = [c for c in range(len(s.coil_images)) if c != BAD]
    norm = np.sqrt((np.abs(s.sensitivities[rest]) ** 2).sum(0))
    return (s.sensitivities[rest].conj()[:, None] * s.coil_images[rest]).sum(0) / norm


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (dead, "receives no signal"),
        (silent, "receives no signal"),
        (noisy, "times the noise of the median coil"),
        (unlocked, "phase of its own"),
        (turned, "phase of its own"),
    ],
)
def test_a_bad_coil_is_left_out(name, harm, word):
    s = synthetic(n_coils=6, snr=80)
    harm(s, np.random.default_rng(5))
    echoes, _, record = METHODS[name](s.coil_images, s.scan)
    told = [note for note in record.notes if "left out" in note]
    assert len(told) == 1
    assert told[0].startswith(f"coil {BAD} ")
    assert word in told[0]
    ratio = np.abs(echoes[0]) / np.abs(without(s)[0])
    assert np.percentile(ratio[s.mask], 1) > 0.95
    clean = synthetic(n_coils=6, snr=80)
    turn = echoes[1] * echoes[0].conj() * (clean.echoes[1] * clean.echoes[0].conj()).conj()
    assert np.median(np.abs(np.angle(turn[s.mask]))) < 0.04


@pytest.mark.parametrize("n_coils", [2, 5, 12])
@pytest.mark.parametrize("polarity", [(), (1, -1, 1, -1)])
def test_sound_coils_stay(n_coils, polarity):
    s = synthetic(n_coils=n_coils, polarity=polarity, snr=25)
    for combine in (mcpc3ds, inati):
        assert not [note for note in combine(s.coil_images, s.scan).record.notes if "left out" in note]


def test_two_bad_coils_of_five_are_both_found():
    s = synthetic(n_coils=5)
    rng = np.random.default_rng(1)
    turned(s, rng)
    s.coil_images[4] = 0
    told = [n for n in mcpc3ds(s.coil_images, s.scan).record.notes if "left out" in n]
    assert [n.split()[1] for n in told] == ["2", "4"]


def test_a_faint_coil_stays():
    s = synthetic(n_coils=5)
    s.coil_images[1] *= 0.05
    s.coil_images[1] += (np.random.default_rng(0).normal(size=(*s.coil_images.shape[1:], 2)) @ (1, 1j)).astype("c8")
    assert not [n for n in mcpc3ds(s.coil_images, s.scan).record.notes if "left out" in n]


def test_one_coil_is_kept_whatever_it_is():
    s = synthetic(n_coils=1)
    rng = np.random.default_rng(0)
    s.coil_images[0] = (rng.normal(size=(*s.coil_images.shape[1:], 2)) @ (1, 1j)).astype(np.complex64)
    record = mcpc3ds(s.coil_images, s.scan).record
    assert any("all are kept" in n for n in record.notes)
