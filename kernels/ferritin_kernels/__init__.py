"""Hand-written kernels of ferritin: one header each for CPU and GPU, called on numpy or cupy arrays."""

from ferritin_kernels.closed import closed_form
from ferritin_kernels.complexfit import ComplexDecay, complexfit
from ferritin_kernels.dephasing import Gradient
from ferritin_kernels.monoexp import Decay, monoexp
from ferritin_kernels.romeo import Unwrapped, phase, romeo, romeo_grow, romeo_quality, romeo_weights

__all__ = [
    "ComplexDecay",
    "Decay",
    "Gradient",
    "Unwrapped",
    "closed_form",
    "complexfit",
    "monoexp",
    "phase",
    "romeo",
    "romeo_grow",
    "romeo_quality",
    "romeo_weights",
]
