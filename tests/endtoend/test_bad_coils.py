"""Raw scans with a dead, a noisy or a phase-broken receiver: the run goes on without it and says so."""

import numpy as np
import pytest

import ferritin as ft
import mrd
from synthetic import synthetic

BAD = 3
TE_MS = (4.0, 10.0)


def spoil(k, harm, rng):
    """k-space (coil, echo, kx, ky, kz) with one receiver gone wrong."""
    noise = (rng.normal(size=(*k.shape[1:], 2)) @ (1, 1j)).astype(np.complex64)
    if harm == "dead":
        k[BAD] = noise
    elif harm == "noisy":  # interference that the noise scan did not have
        k[BAD] += 15 * noise
    elif harm == "unlocked":
        k[BAD] *= np.exp(2j * np.pi * rng.random((len(TE_MS), 1, *k.shape[3:]))).astype(np.complex64)
    return k


@pytest.mark.parametrize(
    ("harm", "word"), [("none", None), ("dead", "no signal"), ("noisy", "noise"), ("unlocked", "phase of its own")]
)
def test_a_bad_receiver_is_left_out_of_a_raw_scan(tmp_path, harm, word):
    s = synthetic(n_coils=6, te_ms=TE_MS, snr=80)
    rng = np.random.default_rng(2)
    shape = s.mask.shape
    encoded = (2 * shape[0], *shape[1:])
    xml = mrd.header(
        encoded, shape, fov_encoded=[4 * n for n in encoded], fov_recon=[4 * n for n in shape], te_ms=TE_MS, b0=7.0,
        centers=(shape[1] // 2, shape[2] // 2),
    )  # fmt: skip
    k = spoil(mrd.kspace(s.coil_images, encoded).astype(np.complex64), harm, rng)
    file = mrd.write(tmp_path / "raw.h5", xml, [mrd.noise_line(6, rng), *mrd.imaging_lines(k)])
    maps = ft.reconstruct(ft.read(file), targets=("echoes",), device="cpu")
    told = [n for n in next(i for i in maps.stages if i.stage == "coils").record.notes if "left out" in n]
    assert len(told) == (word is not None)
    if word:
        assert told[0].startswith(f"coil {BAD} ")
        assert word in told[0]
    growth = maps.echoes[1] * maps.echoes[0].conj() * np.exp(-2j * np.pi * 0.006 * s.field_hz)
    assert np.median(np.abs(np.angle(growth[s.mask]))) < 0.03
