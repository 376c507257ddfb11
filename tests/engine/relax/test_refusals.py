"""What the fits cannot do is said as an error of the project, which the command line prints as one line."""

import numpy as np
import pytest

from ferritin import field, relax
from ferritin.errors import InputError
from ferritin.scan import Scan

SHAPE = (2, 2, 2)
MASK = np.ones(SHAPE, bool)
EVEN, UNEVEN, TWO = (0.004, 0.012, 0.020, 0.028), (0.004, 0.012, 0.020, 0.029), (0.004, 0.012)


@pytest.mark.parametrize(
    ("fit", "te", "noise_sd", "options", "words"),
    [
        (relax.nonlinear, EVEN, None, {"noise": "second"}, "needs noise_sd"),
        (relax.nonlinear, TWO, None, {"noise": "floor"}, "it needs 3 or more"),
        (relax.nonlinear, EVEN, None, {"weights": (1.0, 1.0)}, "must be 4 numbers"),
        (relax.arlo, UNEVEN, None, {}, "use log_linear"),
        (relax.arlo, TWO, None, {}, "it needs 3 or more"),
        (relax.complex_fit, TWO, None, {"bipolar": True}, "it needs 3 or more"),
        (field.complexfit, TWO, None, {"bipolar": True}, "it needs 3 or more"),
    ],
)
def test_a_fit_that_cannot_be_made_is_an_input_error(fit, te, noise_sd, options, words):
    echoes = np.ones((len(te), *SHAPE), np.complex64)
    phase = (np.zeros(echoes.shape, np.float32),) if "complex" in fit.__name__ else ()
    scan = Scan(te_s=te, b0_t=3.0, affine=np.eye(4), shape=SHAPE)
    with pytest.raises(InputError, match=words) as caught:
        fit(echoes, *phase, MASK, scan, noise_sd, **options)
    assert "\n" not in str(caught.value)
