"""Hand-written kernels of ferritin: one header each for CPU and GPU, called on numpy or cupy arrays."""

from ferritin_kernels.closed import closed_form
from ferritin_kernels.complexfit import ComplexDecay, complexfit
from ferritin_kernels.dephasing import Gradient
from ferritin_kernels.echoes import PhaseLine, phase_line, root_sum_of_squares
from ferritin_kernels.epg import WHOLE_SLICE, SpinEchoes, epg
from ferritin_kernels.monoexp import Decay, monoexp
from ferritin_kernels.romeo import phase, romeo_grow, romeo_quality, romeo_weights
from ferritin_kernels.stencil import ball_mean, box_mean, divergence, gradient, laplacian
from ferritin_kernels.variation import variation
from ferritin_kernels.unwrap import Unwrapped, romeo

__all__ = [
    "WHOLE_SLICE",
    "ComplexDecay",
    "Decay",
    "Gradient",
    "PhaseLine",
    "SpinEchoes",
    "Unwrapped",
    "ball_mean",
    "box_mean",
    "closed_form",
    "complexfit",
    "divergence",
    "epg",
    "gradient",
    "laplacian",
    "monoexp",
    "phase",
    "phase_line",
    "romeo",
    "romeo_grow",
    "romeo_quality",
    "romeo_weights",
    "root_sum_of_squares",
    "variation",
]
