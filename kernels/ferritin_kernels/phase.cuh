// Phase of complex echoes. Meaning: numpy.angle. Contract: romeo.py. Launched by cpu.cpp and gpu.py.
#pragma once
#include "lanes.cuh"

namespace ferritin {

struct PhaseArgs {
  const float* echoes;
  float* phase;
  long long n_voxel;
};

FERRITIN_DEVICE void phase_at(const PhaseArgs& in, long long i) {
  in.phase[i] = TWO_PI * angle(in.echoes[2 * i + 1], in.echoes[2 * i]);
}

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void phase(ferritin::PhaseArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i < in.n_voxel) ferritin::phase_at(in, i);
}
#endif
