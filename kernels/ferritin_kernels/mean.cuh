// Mean over a neighbourhood made of runs along z: a ball, a box. Each run is a difference of two running sums, so that
// the cost is the neighbourhood's cross-section. Zero outside the volume.
// Meaning: meaning/stencil.py. Launched by cpu.cpp (rows as vectors) and gpu.py (one voxel a thread).
#pragma once
#include "lanes.cuh"

namespace ferritin {

struct MeanArgs {
  const float* sums;  // (nx, ny, nz + 1): sums[z] of all voxels of the row before z
  float* out;
  const int* runs;  // (n_runs, 3): x, y relative to the voxel, half length h: z from -h to h
  long long n_voxel;
  int nx;
  int ny;
  int nz;
  int n_runs;
  float scale;
};

FERRITIN_DEVICE float run_sum(const float* row, int z, int h, int nz) {
  const int high = z + h + 1 < nz ? z + h + 1 : nz, low = z - h > 0 ? z - h : 0;
  return row[high] - row[low];
}

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void mean(ferritin::MeanArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel) return;
  const int x = static_cast<int>(i / in.nz / in.ny), y = static_cast<int>(i / in.nz % in.ny);
  const int z = static_cast<int>(i % in.nz);
  float sum = 0.f;
  for (int r = 0; r < in.n_runs; ++r) {
    const int u = x + in.runs[3 * r], v = y + in.runs[3 * r + 1];
    if (u < 0 || u >= in.nx || v < 0 || v >= in.ny) continue;
    const float* row = in.sums + (static_cast<long long>(u) * in.ny + v) * (in.nz + 1);
    sum += ferritin::run_sum(row, z, in.runs[3 * r + 2], in.nz);
  }
  in.out[i] = sum * in.scale;
}
#endif
