// ROMEO's edge weights, the voxel quality made of them, and the unwrapping along the echoes (Dymerska et al. 2021).
// Meaning: romeo.py. Launched by cpu.cpp (rows as vectors) and gpu.py (one voxel a thread); region growing: grow.hpp.
#pragma once
#include "lanes.cuh"

namespace ferritin {

// The angle nearest to 0 that differs by whole turns [rad].
FERRITIN_DEVICE float wrapped(float x) { return x - TWO_PI * nearest(x * PER_TURN); }

struct RomeoWeightsArgs {
  const float* phase;
  const float* second;
  const float* magnitude;
  const unsigned char* mask;
  unsigned char* cost;
  float* quality;
  long long n_voxel;
  int nx;
  int ny;
  int nz;
  int complex_magnitude;
  int linear;  // judge the linearity of the phase
  float ratio;
  float bright;
};

enum RomeoMagnitude { ROMEO_NO_MAGNITUDE = 0, ROMEO_REAL = 1, ROMEO_COMPLEX = 2 };

template <int MAGNITUDE>
FERRITIN_DEVICE float romeo_square(const float* magnitude, long long i) {
  if constexpr (MAGNITUDE == ROMEO_REAL) return magnitude[i] * magnitude[i];
  if constexpr (MAGNITUDE == ROMEO_COMPLEX)
    return magnitude[2 * i] * magnitude[2 * i] + magnitude[2 * i + 1] * magnitude[2 * i + 1];
  return 1.f;
}

// Weight in [0, 1] of the edge from voxel i to i + stride; 0 where a phase or magnitude is not a number.
// inner: there is a voxel on either side of the edge, so that the linearity of the phase can be judged.
template <int MAGNITUDE>
FERRITIN_DEVICE float romeo_weight(const RomeoWeightsArgs& in, long long i, long long stride, bool inner) {
  const long long reach = inner ? stride : 0, j = i + stride, h = i - reach, k = j + reach;
  const float a = in.phase[i], b = in.phase[j], c = in.phase[h], d = in.phase[k];
  const float difference = wrapped(b - a);
  const float coherence = 1.f - absolute(difference) * (2.f * PER_TURN);
  const float gradient =
      maximum(0.f, 1.f - absolute(difference - in.ratio * wrapped(in.second[j] - in.second[i])));
  const float before = maximum(0.f, 1.f - 0.5f * absolute(wrapped(c - 2.f * a + b)));
  const float after = maximum(0.f, 1.f - 0.5f * absolute(wrapped(a - 2.f * b + d)));
  const float product = before * after, known = is_finite(c + d) ? product : 0.5f;
  const float linearity = in.linear ? (inner ? known : 0.9f) : 1.f;
  float w = (0.1f + 0.9f * coherence) * (0.1f + 0.9f * gradient) * (0.1f + 0.9f * linearity);
  if constexpr (MAGNITUDE != ROMEO_NO_MAGNITUDE) {
    const float p = romeo_square<MAGNITUDE>(in.magnitude, i), q = romeo_square<MAGNITUDE>(in.magnitude, j);
    const float small = minimum(p, q), big = maximum(p, q);
    w *= 0.1f + 0.9f * (small / maximum(big, 1e-37f));
    const float half = 0.25f * in.bright * in.bright;  // square of half the bright level; 0 leaves both terms out
    const float dim = 0.5f + 0.5f * minimum(1.f, square_root(small / maximum(half, 1e-37f)));
    const float glare = 0.5f + 0.5f * minimum(1.f, square_root(half / maximum(big, 1e-37f)));
    w *= half > 0.f ? (0.1f + 0.9f * dim) * (0.1f + 0.9f * glare) : 1.f;
    w = is_finite(p + q) ? w : 0.f;
  }
  w = is_finite(gradient) ? w : 0.f;
  return is_finite(a + b) ? w : 0.f;
}

// Cost 1 (best) to 255 of the edge, 0 for no edge.
FERRITIN_DEVICE unsigned char romeo_cost(float weight, bool inside) {
  const int cost = static_cast<int>(nearest((1.f - weight) * 255.f));
  const int kept = cost < 1 ? 1 : cost > 255 ? 255 : cost;
  return static_cast<unsigned char>(inside && weight > 0.f ? kept : 0);
}

struct RomeoTemporalArgs {
  float* phase;
  const unsigned char* mask;
  const float* te;
  long long n_voxel;
  int n_echo;
  int reference;
};

// Bring one voxel's phase at the echo `to` to the turn nearest to what its unwrapped neighbour echo predicts.
FERRITIN_DEVICE float romeo_follow(float phase, float reference, float ratio) {
  return phase - TWO_PI * nearest((phase - reference * ratio) * PER_TURN);
}

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void romeo_weights(ferritin::RomeoWeightsArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel) return;
  const int at[3] = {static_cast<int>(i / in.nz / in.ny), static_cast<int>(i / in.nz % in.ny),
                     static_cast<int>(i % in.nz)};
  const int size[3] = {in.nx, in.ny, in.nz};
  const long long stride[3] = {static_cast<long long>(in.ny) * in.nz, in.nz, 1};
  float sum = 0.f, edges = 0.f;
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis)
    FERRITIN_UNROLL
    for (int side = 0; side < (in.quality ? 2 : 1); ++side) {
      const int first = at[axis] - side;
      const long long from = i - side * stride[axis];
      const bool there = first >= 0 && first + 1 < size[axis];
      const bool inside = there && (!in.mask || (in.mask[from] && in.mask[from + stride[axis]]));
      const bool inner = first > 0 && first + 2 < size[axis];
      const float w = inside ? ferritin::romeo_weight<FERRITIN_MAGNITUDE>(in, from, stride[axis], inner) : 0.f;
      sum += w;
      edges += inside ? 1.f : 0.f;
      if (in.cost && side == 0) in.cost[axis * in.n_voxel + i] = ferritin::romeo_cost(w, inside);
    }
  if (in.quality) in.quality[i] = sum / ferritin::maximum(edges, 1.f);
}
#endif
