"""Every custom of writing phase is recognised and stated; what is not clear is refused."""

import numpy as np
import pytest

import images
from ferritin.errors import AmbiguousError, ParameterError
from ferritin.io import read


def phase_error(scan, signal, sign=1):
    """Largest phase difference [rad] from the truth, a constant put aside."""
    ratio = scan.data["echoes"] / np.where(sign > 0, signal, signal.conj())
    return np.abs(np.angle(ratio / ratio[0, 0, 0, 0])).max()


def statement(scan):
    return next(f for f in scan.findings if "phase" in f.problem)


CUSTOMS = {
    "rad": (lambda p: p.astype(np.float32), {}),
    "rad from zero": (lambda p: np.mod(p, 2 * np.pi).astype(np.float32), {}),
    "±4096": (lambda p: np.clip(np.round(p / np.pi * 4096), -4096, 4095).astype(np.int16), {}),
    "0..4095": (lambda p: np.clip(np.round(p / np.pi * 2048) + 2048, 0, 4095).astype(np.uint16), {}),
    "0..4095 with slope 2": (
        lambda p: np.clip(np.round(p / np.pi * 2048) + 2048, 0, 4095).astype(np.uint16),
        {"slope": 2, "intercept": -4096},
    ),
    "0..4095 with slope to rad": (
        lambda p: np.clip(np.round((p + np.pi) * 4095 / (2 * np.pi)), 0, 4095).astype(np.uint16),
        {"slope": 2 * np.pi / 4095, "intercept": -np.pi},
    ),
    "rad x 1000": (lambda p: np.round(p * 1000).astype(np.int16), {}),
    "degrees": (lambda p: np.degrees(p).astype(np.float32), {}),
    "int16 with slope to rad": (lambda p: np.round(p / np.pi * 32767).astype(np.int16), {"slope": np.pi / 32767}),
    "rad with a stale slope": (lambda p: p.astype(np.float32), {"slope": 0.0011695906}),
}


@pytest.mark.parametrize("name", CUSTOMS)
def test_recognised(tmp_path, name):
    signal = images.echoes(shape=(24, 22, 20))
    phase, options = CUSTOMS[name]
    scan = read(images.folder(tmp_path, signal, phase=phase, units=None, **options))
    assert phase_error(scan, signal) < 4e-3
    np.testing.assert_allclose(np.abs(scan.data["echoes"]), np.abs(signal), rtol=1e-5)
    said = statement(scan)
    assert "read as" in said.repair
    assert ("stale" in said.problem) == ("stale" in name)
    assert scan.provenance["reading"]["phase_sign"] == "+"


def test_stale_slope_of_rad_is_told_as_a_warning(tmp_path):
    scan = read(images.folder(tmp_path, images.echoes(), slope=0.0011695906))
    assert statement(scan).level == "warning"
    assert "-0.0036" in statement(scan).problem


@pytest.mark.parametrize(
    "phase", [lambda p: p * 0.3, lambda p: p * 5, lambda p: np.round(p / np.pi * 2047), lambda p: p / np.pi]
)
def test_unknown_range_is_refused(tmp_path, phase):
    images.folder(tmp_path, images.echoes(), phase=lambda p: phase(p).astype(np.float32), units=None)
    with pytest.raises(AmbiguousError, match="--phase-scaling") as caught:
        read(tmp_path)
    assert "part-phase" in str(caught.value)


def test_two_readings_are_refused(tmp_path):
    """Stored 0..4095, and a slope that makes 0 to 2 pi of half of them."""
    images.folder(
        tmp_path,
        images.echoes(shape=(24, 22, 20)),
        units=None,
        phase=lambda p: np.clip(np.round(p / np.pi * 2048) + 2048, 0, 4095).astype(np.uint16),
        slope=2000 / 4095,
        intercept=-1000 + 1e-9,
    )
    scan = read(tmp_path)  # ±1000 is no unit: one reading is left
    assert scan.provenance["reading"]["phase_scaling"] == "0..4095"
    images.folder(
        tmp_path / "b",
        images.echoes(shape=(24, 22, 20)),
        units=None,
        phase=lambda p: np.round(p / np.pi * 4095).astype(np.int16),
        slope=180 / 4095 * 0.955,
    )
    with pytest.raises(AmbiguousError, match="fit degrees and 4096"):
        read(tmp_path / "b")


def test_the_user_decides(tmp_path):
    signal = images.echoes()
    images.folder(tmp_path / "a", signal, phase=lambda p: np.round(p / np.pi * 2047).astype(np.int16), units=None)
    assert phase_error(read(tmp_path / "a", phase_scaling="2047"), signal) < 2e-3
    images.folder(tmp_path / "b", signal, phase=lambda p: (0.2 * p).astype(np.float32), units=None, slope=5.0)
    assert phase_error(read(tmp_path / "b", phase_scaling="header"), signal) < 1e-5
    images.folder(tmp_path / "c", signal, phase=lambda p: (p + 8 * np.pi).astype(np.float32), units=None)
    assert phase_error(read(tmp_path / "c", phase_scaling="rad"), signal) < 1e-5
    with pytest.raises(ParameterError, match="'turns' is not known"):
        read(tmp_path / "c", phase_scaling="turns")


def test_unwrapped_rad_is_believed_when_the_sidecar_says_so(tmp_path):
    signal = images.echoes()
    images.folder(tmp_path, signal, phase=lambda p: (p + 6 * np.pi * np.sign(p)).astype(np.float32), units="rad")
    scan = read(tmp_path)
    assert phase_error(scan, signal) < 1e-5
    assert "as the sidecar says" in statement(scan).repair


def test_sidecar_against_the_values(tmp_path):
    scan = read(images.folder(tmp_path, images.echoes(), phase=CUSTOMS["±4096"][0], units="rad"))
    assert statement(scan).level == "warning"
    assert "the sidecar says rad" in statement(scan).problem


def test_phase_sign(tmp_path):
    signal = images.echoes()
    assert phase_error(read(images.folder(tmp_path, signal), phase_sign="-"), signal, sign=-1) < 1e-5


@pytest.mark.parametrize(
    ("asked", "doubtful"), [("4096", True), ("header", True), ("rad", True), ("2048", False), ("0..4095", False)]
)
def test_unit_that_the_values_do_not_fill(tmp_path, asked, doubtful):
    """Asked for what means twice the angle."""
    customs = {"header": lambda p: p / 2, "rad": lambda p: p / 2}
    phase = customs.get(asked, lambda p: np.clip(np.round(p / np.pi * 2048) + 2048, 0, 4095).astype(np.uint16))
    scan = read(images.folder(tmp_path, images.echoes(), phase=phase, units=None), phase_scaling=asked)
    assert (statement(scan).level == "warning") == doubtful
    assert ("fill 50 % of a turn" in statement(scan).problem) == doubtful
