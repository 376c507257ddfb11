"""Where k-space steps and image voxels lie in the order of the FFT, so that nothing is shifted by hand.

Centred transform: image = fftshift(ifft(ifftshift(k))), orthonormal. Both shifts are done by the copies that are made
anyway: a step k from the k-space centre goes to index k mod N, and the image is taken out of the wrapped order while it
is cropped. Right for odd and even N.
"""

from __future__ import annotations


def wrapped(n: int, n_fft: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Pairs (to, from) of slices that take the n central voxels out of a wrapped axis of length n_fft.

    The centre, index 0 of the wrapped axis, comes to n//2.
    """
    half = n // 2
    return (slice(0, half), slice(n_fft - half, n_fft)), (slice(half, n), slice(0, n - half))
