"""Signal lost to a field gradient across the voxel: the option of both fits, and its contract with dephasing.cuh."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ferritin_kernels import api

PROFILES = {"none": 0, "box": 1, "pulse": 2, "gaussian": 3}


class Gradient(NamedTuple):
    """Take each echo's loss to the field's gradient into the model.

    field : (x, y, z) float32 [Hz], the total field; differences are taken across each voxel, inside the mask
    profile : what the voxel looks like along each axis
        "none": no loss. "box": rectangular, |sinc(x)| at x = Hz across the voxel times TE. "pulse": slice excited by a
        sinc pulse in a Hann window, small angle. "gaussian": slice with the voxel as its full width at half maximum.
    time_bandwidth : float, time-bandwidth product of the pulse

    Echoes that keep less than a tenth of their signal are left out.
    """

    field: Any
    profile: tuple[str, str, str] = ("box", "box", "box")
    time_bandwidth: float = 4.0


def arguments(gradient: Gradient | None, shape: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and numbers of a fit's argument record for the option; nothing when it is None."""
    if gradient is None:
        return {}, {}
    field, profile, time_bandwidth = gradient
    if len(shape) != 3 or tuple(field.shape) != tuple(shape) or field.dtype != np.float32:
        raise ValueError(f"gradient field is {field.dtype} {tuple(field.shape)}, expected float32 (x, y, z) {shape}")
    if len(profile) != 3 or set(profile) - set(PROFILES):
        raise ValueError(f"profile {profile} must name one of {', '.join(PROFILES)} for each of three axes")
    if not time_bandwidth > 0:
        raise ValueError(f"time_bandwidth {time_bandwidth} must be above 0; pulses have 2 to 10")
    sizes = dict(zip(("nx", "ny", "nz"), shape))
    profiles = {f"profile_{axis}": PROFILES[name] for axis, name in zip("xyz", profile)}
    return {"gradient_field": api.contiguous("field", field)}, sizes | profiles | {"time_bandwidth": time_bandwidth}
