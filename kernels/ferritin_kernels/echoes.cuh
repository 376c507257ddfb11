// Sums over the echoes that read each echo once: the root of the weighted sum of squares, and the weighted line through
// unwrapped phase. Meaning: meaning/echoes.py. Launched by cpu.cpp (stretches as vectors) and gpu.py.
#pragma once
#include "lanes.cuh"

namespace ferritin {

struct EchoesArgs {
  const float* echoes;     // (n_echo, n_voxel) complex
  const float* unwrapped;  // (n_echo, n_voxel) rad, or null: no line
  const float* te;         // (n_echo) s
  const float* weight;     // (n_echo)
  float* magnitude;        // root of sum w |S|^2, or null
  float* field;            // slope of the line [Hz]
  float* field_error;      // its standard deviation for a noise sd of 1; infinite without signal in two echoes
  float* offset;           // the line at TE = 0 [rad], or null
  long long n_voxel;
  int n_echo;
};

// W voxels from i on. The line comes from moments about the running mean, updated echo by echo: one pass, and no digits
// lost.
template <int W, bool LINE>
FERRITIN_DEVICE void sum_echoes(const EchoesArgs& in, long long i, int n) {
  Float<W> weight, time, phase, spread, product;
  FOR_LANES weight[l] = time[l] = phase[l] = spread[l] = product[l] = 0.f;
  FERRITIN_UNROLL
  for (int e = 0; e < n; ++e) {
    const float *echo = in.echoes + 2 * (e * in.n_voxel + i), *unwrapped = LINE ? in.unwrapped + e * in.n_voxel + i : 0;
    const float t = in.te[e], scale = in.weight[e];
    FOR_LANES {
      const float re = echo[2 * l], im = echo[2 * l + 1], w = scale * (re * re + im * im), total = weight[l] + w;
      weight[l] = total;
      if constexpr (LINE) {
        const float share = w / maximum(total, 1e-30f), dt = t - time[l], dp = unwrapped[l] - phase[l];
        const float left = w * (1.f - share) * dt;
        product[l] += left * dp;
        spread[l] += left * dt;
        time[l] += share * dt;
        phase[l] += share * dp;
      }
    }
  }
  if (in.magnitude) FOR_LANES in.magnitude[i + l] = square_root(weight[l]);
  if constexpr (!LINE) return;
  FOR_LANES {
    const float slope = product[l] / maximum(spread[l], 1e-30f), error = PER_TURN / square_root(spread[l]);
    in.field[i + l] = slope * PER_TURN;
    in.field_error[i + l] = error;  // infinite where no two echoes have signal
    product[l] = phase[l] - slope * time[l];
  }
  if (in.offset) FOR_LANES in.offset[i + l] = product[l];
}

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void echoes(ferritin::EchoesArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i < in.n_voxel) ferritin::sum_echoes<1, FERRITIN_LINE>(in, i, FERRITIN_ECHOES);
}
#endif
