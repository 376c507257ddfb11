"""What the fits cannot do is said as an error of the project, which the command line prints as one line."""

import inspect

import numpy as np
import pytest

from ferritin import field, relax
from ferritin.errors import InputError
from ferritin.scan import Scan

SHAPE = (2, 2, 2)
MASK = np.ones(SHAPE, bool)
EVEN, UNEVEN, TWO = (0.004, 0.012, 0.020, 0.028), (0.004, 0.012, 0.020, 0.029), (0.004, 0.012)
TRAIN = (0.010, 0.020, 0.030, 0.040, 0.050)


def made(fit, te, noise_sd=None, **options):
    """A fit of flat echoes."""
    echoes = np.ones((len(te), *SHAPE), np.complex64)
    phase = (np.zeros(echoes.shape, np.float32),) if "complex" in fit.__name__ else ()
    return fit(echoes, *phase, MASK, Scan(te_s=te, b0_t=3.0, affine=np.eye(4), shape=SHAPE), noise_sd, **options)


@pytest.mark.parametrize(
    ("fit", "te", "noise_sd", "options", "words"),
    [
        (relax.nonlinear, EVEN, None, {"noise": "second"}, "needs noise_sd"),
        (relax.nonlinear, TWO, None, {"noise": "floor"}, "it needs 3 or more"),
        (relax.nonlinear, EVEN, None, {"weights": (1.0, 1.0)}, "must be 4 numbers"),
        (relax.nonlinear, EVEN, None, {"weights": (1.0, 1.0, 1.0, float("nan"))}, "must be 4 numbers"),
        (relax.arlo, UNEVEN, None, {}, "use log_linear"),
        (relax.arlo, TWO, None, {}, "it needs 3 or more"),
        (relax.complex_fit, TWO, None, {"bipolar": True}, "it needs 3 or more"),
        (field.complexfit, TWO, None, {"bipolar": True}, "it needs 3 or more"),
    ],
)
def test_a_fit_that_cannot_be_made_is_an_input_error(fit, te, noise_sd, options, words):
    with pytest.raises(InputError, match=words) as caught:
        made(fit, te, noise_sd, **options)
    assert "\n" not in str(caught.value)


NAN, INF = float("nan"), float("inf")
ABSURD = {
    "noise_sd": (0.0, -0.002, NAN, INF),
    "coils": (0, -3),
    "max_rate": (0.0, -1.0, NAN, INF),
    "max_iterations": (0, -4),
}


@pytest.mark.parametrize(
    "fit",
    [
        relax.nonlinear,
        relax.log_linear,
        relax.arlo,
        relax.numart2star,
        relax.complex_fit,
        relax.epg,
        relax.r2_nonlinear,
        relax.r2_log_linear,
        field.complexfit,
    ],
)
def test_absurd_numbers_are_refused_by_every_fit(fit):
    known = {"noise_sd", *inspect.signature(fit).parameters}
    made(fit, TRAIN)
    for name in known & set(ABSURD):
        for value in ABSURD[name]:
            with pytest.raises(InputError, match=f"^{name} = {value}, expected"):
                made(fit, TRAIN, **{name: value})
