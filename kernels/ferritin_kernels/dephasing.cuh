// Signal lost to a field gradient across the voxel, by echo, from the field map itself: F = product over the axes of
// |integral of p(z) exp(2 pi i x z)| / integral of p, x = field difference across the voxel [Hz] times TE.
// A rectangular voxel gives |sin(pi x) / (pi x)|. A slice excited by a short pulse has, at small angles, the pulse's
// Fourier transform as its profile, so that F is the pulse's own envelope: a sinc in a Hann window, or a Gaussian.
// Meaning: meaning/dephasing.py. Part of monoexp.cuh and complexfit.cuh.
#pragma once
#include "lanes.cuh"

namespace ferritin {

enum Profile { PROFILE_NONE = 0, PROFILE_BOX = 1, PROFILE_PULSE = 2, PROFILE_GAUSSIAN = 3 };

// Below this an echo is more noise than decay; it is left out.
constexpr float LEAST_DEPHASING = 0.1f;

FERRITIN_DEVICE float profile_factor(int profile, float x, float time_bandwidth) {
  if (profile == PROFILE_GAUSSIAN) return exponential(maximum(-3.559707f * x * x, -80.f));  // pi^2 / (4 ln 2)
  float s, c;
  sine_cosine(0.5f * x, s, c);
  const float px = 3.14159265f * x, small = 1.f - px * px * (1.f / 6.f);
  const float f = absolute(absolute(px) < 1e-2f ? small : s / px);
  if (profile != PROFILE_PULSE) return f;
  sine_cosine(clamp(x / time_bandwidth, -0.5f, 0.5f), s, c);
  return f * (0.5f + 0.5f * c);
}

// Difference [Hz] of the field across voxel i along an axis: central inside the mask, one-sided at its edge, 0 alone.
template <class Args>
FERRITIN_DEVICE float difference_across(const Args& in, long long i, long long stride, int size) {
  const long long at = i / stride % size;
  const bool before = at > 0 && (!in.mask || in.mask[i - stride]);
  const bool after = at + 1 < size && (!in.mask || in.mask[i + stride]);
  const float low = in.gradient_field[before ? i - stride : i], high = in.gradient_field[after ? i + stride : i];
  return (high - low) * (before && after ? 0.5f : 1.f);
}

// factor (n, W) of every echo of the voxels of W states; 0 for echoes to leave out.
template <int W, class Args, class State>
FERRITIN_DEVICE void dephasing(const Args& in, int n, const State* states, float* factor) {
  const long long stride[3] = {static_cast<long long>(in.ny) * in.nz, in.nz, 1};
  const int size[3] = {in.nx, in.ny, in.nz}, profile[3] = {in.profile_x, in.profile_y, in.profile_z};
  for (int e = 0; e < n; ++e) FOR_LANES factor[e * W + l] = 1.f;
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis) {
    if (profile[axis] == PROFILE_NONE) continue;
    Float<W> across;
    for (int l = 0; l < W; ++l) across[l] = difference_across(in, states[l].voxel, stride[axis], size[axis]);
    FERRITIN_UNROLL
    for (int e = 0; e < n; ++e) {
      const float te = in.te1 + in.time[e] * in.span;
      FOR_LANES factor[e * W + l] *= profile_factor(profile[axis], across[l] * te, in.time_bandwidth);
    }
  }
  FERRITIN_UNROLL
  for (int e = 0; e < n; ++e) FOR_LANES {
      const float f = factor[e * W + l];
      factor[e * W + l] = f >= LEAST_DEPHASING ? f : 0.f;
    }
}

}  // namespace ferritin
