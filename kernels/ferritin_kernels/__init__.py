"""Hand-written kernels of ferritin: one header each for CPU and GPU, called on numpy or cupy arrays."""

from ferritin_kernels.monoexp import Decay, monoexp

__all__ = ["Decay", "monoexp"]
