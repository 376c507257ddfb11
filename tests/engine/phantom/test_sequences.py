"""Sequences for R2, R1, field correlation and saturation against their closed forms."""

import json

import nibabel
import numpy as np
import pytest

from ferritin.errors import ParameterError
from ferritin.phantom import Protocol, Scanner, simulate
from ferritin.phantom.epg import echo_train
from ferritin.phantom.sequences import (
    SEQUENCES,
    asymmetric_spin_echoes,
    field_correlation,
    saturated,
    spin_echoes,
    transmit_field,
    variable_flips,
)


@pytest.fixture(scope="module")
def scanner():
    return Scanner(Protocol(voxel_mm=(8.0,) * 3, te_ms=(4.0, 12.0), fine_mm=8.0, b0_t=3.0), seed=1)


def test_perfect_refocusing_decays_with_r2():
    train = echo_train(1.0, 20.0, 1.0, spacing_s=0.01, n=8)
    np.testing.assert_allclose(train, np.exp(-20 * 0.01 * np.arange(1, 9)), rtol=1e-12)


def test_published_amplitudes_without_relaxation():
    """120 degrees: 0.75 = sin² 60°, then 0.9375 and 0.84375 by the stimulated echoes."""
    np.testing.assert_allclose(echo_train(0, 0, 1, spacing_s=0.01, n=3, flip_deg=120), (0.75, 0.9375, 0.84375))


def test_too_much_and_too_little_transmit_field_look_alike():
    low, high = (echo_train(1.0, 15.0, b, spacing_s=0.01, n=6) for b in (0.8, 1.2))
    np.testing.assert_allclose(low, high, rtol=1e-12)


def test_stimulated_echoes_slow_the_decay_by_t1():
    """With imperfect pulses part of the path is along z: later echoes exceed those of the perfect train."""
    good, poor = (echo_train(1.0, 25.0, b, spacing_s=0.01, n=12) for b in (1.0, 0.7))
    assert poor[0] < good[0]
    assert poor[-1] / poor[1] > good[-1] / good[1]


def test_spin_echoes_of_the_head_are_the_phase_graphs(scanner):
    head = scanner.head
    shots = list(spin_echoes(scanner, n=4))
    r1, r2 = head.rate("r1", 3.0), head.rate("r2", 3.0)
    brain = head.brain & (r2 > 1)
    exact = echo_train(r1[brain], r2[brain], transmit_field(scanner.fine, 3.0)[brain], spacing_s=0.01, n=4)
    ready = (head.m0() * (1 - np.exp(-3 * r1)))[brain]
    for shot, expected in zip(shots, exact):
        np.testing.assert_allclose(shot.signal[brain], ready * expected, atol=3e-3)
    assert [s.sidecar["EchoTime"] for s in shots] == [0.01, 0.02, 0.03, 0.04]


def test_r1_comes_out_of_two_flips(scanner):
    """Straight line through S / sin α against S / tan α with the true flip angle: slope exp(-TR R1)."""
    head, tr = scanner.head, 0.02
    brain = head.brain & (head.labels == 8)
    low, high = (s.signal[brain].astype(float) for s in variable_flips(scanner))
    b1 = transmit_field(scanner.fine, 3.0)[brain].astype(float)
    a, b = np.radians(5) * b1, np.radians(24) * b1
    slope = (high / np.sin(b) - low / np.sin(a)) / (high / np.tan(b) - low / np.tan(a))
    np.testing.assert_allclose(-np.log(slope) / tr, head.rate("r1", 3.0)[brain], rtol=5e-3)


def test_field_correlation_comes_out_of_the_shifts(scanner):
    head = scanner.head
    shots = list(asymmetric_spin_echoes(scanner))
    t = np.array([s.sidecar["RefocusingShift"] for s in shots])
    brain = head.brain & (head.labels == 8)
    log = np.log([np.abs(s.signal)[brain] for s in shots])
    slope = np.polyfit(-2 * t**2, log, 1)[0]
    expected = field_correlation(head.rate("r2", 3.0), head.rate("r2star", 3.0))[brain]
    np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=0.5)
    phase = np.angle(shots[1].signal * shots[0].signal.conj())[brain]
    turns = 2 * np.pi * 2 * t[1] * (scanner.total_field * scanner.hz_per_ppm)[brain]
    np.testing.assert_allclose(np.exp(1j * phase), np.exp(1j * turns), atol=1e-3)


def test_t2_comes_out_of_the_saturation_line(scanner):
    """Half width at half maximum: sqrt(1/T2² + ω1² T1/T2); on resonance: ω1² T1 T2 / (1 + ω1² T1 T2)."""
    head = scanner.head
    field = (scanner.total_field * scanner.hz_per_ppm).astype(float)
    r1, r2 = head.rate("r1", 3.0).astype(float), head.rate("r2", 3.0).astype(float)
    cell = tuple(np.argwhere(head.brain & (head.labels == 8) & (np.abs(field) < 50))[5])
    offsets = tuple(field[cell] + np.array([0.0, 1e4]))
    shots = list(saturated(scanner, offsets_hz=offsets, b1_ut=0.1))
    w2 = (2 * np.pi * 4.2577478518 * transmit_field(scanner.fine, 3.0)[cell]) ** 2
    peak = w2 / (r1 * r2)[cell]
    assert 1 - shots[1].signal[cell] / shots[0].signal[cell] == pytest.approx(peak / (1 + peak), rel=1e-3)
    wing = w2 * r2[cell] / r1[cell] / (2 * np.pi * 1e4) ** 2
    assert 1 - shots[2].signal[cell] / shots[0].signal[cell] == pytest.approx(wing, abs=2e-6)


def test_files(tmp_path):
    simulate(
        tmp_path, Protocol(voxel_mm=(12.0,) * 3, te_ms=(4.0, 12.0), fine_mm=12.0), format="bids", also=tuple(SEQUENCES)
    )
    anat = tmp_path / "sub-01/anat"
    for name, n in (("echo-*_MESE", 10), ("flip-*_VFA", 2), ("acq-shift*_ASE", 5), ("acq-sat*_DSI", 12)):
        assert len(list(anat.glob(f"sub-01_{name}.nii.gz"))) == n
    assert json.loads((anat / "sub-01_acq-sat3_DSI.json").read_text())["SaturationOffset"] == -100
    b1 = np.asanyarray(nibabel.load(tmp_path / "truth/b1.nii.gz").dataobj)
    mask = np.asanyarray(nibabel.load(tmp_path / "truth/mask.nii.gz").dataobj) > 0
    assert 0.6 < b1[mask].min() < 0.95 < 1.05 < b1[mask].max() < 1.4
    assert (tmp_path / "truth/mfc.nii.gz").exists()


def test_unknown_sequence(tmp_path):
    with pytest.raises(ParameterError, match="sequence 'epi'"):
        simulate(tmp_path, also=("epi",))
