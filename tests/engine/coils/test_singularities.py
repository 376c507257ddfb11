"""Closed loops tell ends of fringe lines, and nothing else."""

import numpy as np

from ferritin.coils import _singularities, inati
from synthetic import synthetic


def vortex(shape=(21, 24, 9), at=(9.5, 12.5)):
    """A phase that turns once around a line along z, under a steep ramp."""
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    phase = np.arctan2(y - at[1], x - at[0]) + 2.1 * x - 0.7 * z
    return (20 * np.exp(1j * phase)).astype(np.complex64)


def test_a_vortex_line_is_met_once_in_every_slice():
    singular, loops = _singularities.count(vortex(), 10)
    assert singular == 9
    assert loops == 20 * 23 * 9 + 20 * 24 * 8 + 21 * 23 * 8


def test_slabs_do_not_change_the_count(monkeypatch):
    image = vortex(shape=(37, 24, 9), at=(17.5, 12.5))
    whole = _singularities.count(image, 10)
    monkeypatch.setattr(_singularities, "_SLAB", 5)
    assert _singularities.count(image, 10) == whole == (9, whole[1])


def test_dark_loops_and_smooth_wraps_do_not_count():
    image = vortex()
    image[8:12, 11:15] = 1
    assert _singularities.count(image, 10)[0] == 0
    x = np.arange(40)[:, None, None] * np.ones((1, 30, 20))
    assert _singularities.count((20 * np.exp(2.9j * x)).astype(np.complex64), 10)[0] == 0


def test_the_record_tells_what_the_coils_did_and_not_what_the_field_does():
    s = synthetic()
    assert any("0 of" in n and "singularity" in n for n in inati(s.coil_images, s.scan).record.notes)
    line = vortex()
    calm = np.stack([line, line * np.exp(0.3j)]).astype(np.complex64)
    assert _singularities.note(calm, 1.0).startswith("9 of")
    assert "calm field" in _singularities.note(calm, 1.0)
    fields = np.stack([line, line**2 / 20]).astype(np.complex64)  # the growth is singular in the same places
    assert _singularities.note(fields, 1.0).startswith("0 of")
    assert _singularities.note(calm[:1], 1.0).startswith("9 of")
