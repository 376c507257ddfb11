// One relaxed step of the split z = ∇x of a total variation, on a periodic box: the split, then what pulls x.
// Meaning: meaning/variation.py. Launched by cpu.cpp (rows as vectors) and gpu.py (one voxel a thread).
#pragma once
#include "stencil.cuh"

namespace ferritin {

struct VariationArgs {
  const float* x;
  float* split;
  const float* radius;
  float* keep;
  float* pull;
  long long n_voxel;
  int nx;
  int ny;
  int nz;
  int part;
  float limit;
  float relax;
  float per_x;
  float per_y;
  float per_z;
};

// q <- q + relax·(∇x − (1 − keep)·q); keep <- what the projection onto |·| <= radius·limit leaves of q (limit alone
// without a map of radii).
template <bool MAP>
FERRITIN_DEVICE void split_at(const VariationArgs& in, long long i, const Neighbours& n, const float* per) {
  float limit = in.limit;
  if constexpr (MAP) limit *= in.radius[i];  // asked at every voxel, this would keep the loop out of vectors
  const float here = in.x[i];
  const float old = 1.f - in.relax * (1.f - in.keep[i]);
  float square = 0.f;
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis) {
    float* const q = in.split + axis * in.n_voxel + i;
    const float fresh = old * q[0] + in.relax * per[axis] * (in.x[i + n.next[axis]] - here);
    square += fresh * fresh;
    q[0] = fresh;
  }
  in.keep[i] = square > limit * limit ? limit * inverse_root(maximum(square, 1e-37f)) : 1.f;
}

// pull <- ∇ᵀ(q − 2·keep·q)
FERRITIN_DEVICE void pull_at(const VariationArgs& in, long long i, const Neighbours& n, const float* per) {
  const float here = 1.f - 2.f * in.keep[i];
  float pull = 0.f;
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis) {
    const float* const q = in.split + axis * in.n_voxel + i;
    const long long before = n.before[axis];
    pull += ((1.f - 2.f * in.keep[i + before]) * q[before] - here * q[0]) * per[axis];
  }
  in.pull[i] = pull;
}

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void variation(ferritin::VariationArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel) return;
  const float per[3] = {in.per_x, in.per_y, in.per_z};
  ferritin::Neighbours n;
  n.set(0, static_cast<int>(i / in.nz / in.ny), in.nx, static_cast<long long>(in.ny) * in.nz, true);
  n.set(1, static_cast<int>(i / in.nz % in.ny), in.ny, in.nz, true);
  n.set(2, static_cast<int>(i % in.nz), in.nz, 1, true);
#if FERRITIN_PART
  ferritin::pull_at(in, i, n, per);
#else
  in.radius ? ferritin::split_at<true>(in, i, n, per) : ferritin::split_at<false>(in, i, n, per);
#endif
}
#endif
