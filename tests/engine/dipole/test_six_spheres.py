"""Every inversion of a local field finds six spheres under an oblique B0, with its defaults: sign, slope and error."""

import numpy as np
import pytest

from engine.dipole.phantoms import six_spheres, slope
from ferritin.registry import methods

METHODS = [m for m in methods("dipole") if m.consumes == ("local_field", "mask")]
LEAST, MOST, ERROR = 0.7, 1.1, 0.65
"""The defaults are for heads: k-space methods leave streaks here, weighted ones shrink small spheres."""
GIVEN = {"medi": 1000.0, "tikhonov": 3e-3}
"""Weights of the quadratic priors: sharp spheres look like noise to the automatic ones, and these shrink them then."""


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_six_spheres(method):
    scan, mask, chi, labels, field = six_spheres(b0_dir=(0.5, 0.3, 0.8), n=48)
    # A weight chosen from the data asks for the noise: sharp spheres look like noise to its guess from the field alone.
    chooses = any(p.name == "lambda" and p.default == "auto" for p in method.parameters)
    known = {"field_noise": np.float32(0.3) * mask} if chooses else {}
    if method.name in GIVEN:
        known = {"lambda_": GIVEN[method.name]}
    found = method(field, mask, scan, **known).chi
    assert LEAST < slope(found, chi, labels) < MOST
    x, y = (v[mask] - v[mask].mean() for v in (found, chi))
    assert np.linalg.norm(x - y) < ERROR * np.linalg.norm(y)
    assert not found[~mask].any()
