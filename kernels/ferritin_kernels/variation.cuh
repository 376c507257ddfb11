// One step of the split z = ∇x of a total variation, on a periodic box: the multipliers, then what pulls x.
// Meaning: meaning/variation.py. Launched by cpu.cpp (rows as vectors) and gpu.py (one voxel a thread).
#pragma once
#include "stencil.cuh"

namespace ferritin {

struct VariationArgs {
  const float* x;
  float* dual;
  const float* radius;
  float* turn;
  float* pull;
  long long n_voxel;
  int nx;
  int ny;
  int nz;
  int part;
  float limit;
  float per_x;
  float per_y;
  float per_z;
};

// u <- projection of ∇x + u onto |·| <= radius·limit (limit alone without a map of radii).
template <bool MAP>
FERRITIN_DEVICE void shrink_at(const VariationArgs& in, long long i, const Neighbours& n, const float* per) {
  float limit = in.limit;
  if constexpr (MAP) limit *= in.radius[i];  // asked at every voxel, this would keep the loop out of vectors
  const float here = in.x[i];
  float q[3], square = 0.f;
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis) {
    q[axis] = (in.x[i + n.next[axis]] - here) * per[axis] + in.dual[axis * in.n_voxel + i];
    square += q[axis] * q[axis];
  }
  const float shrink = square > limit * limit ? limit * inverse_root(maximum(square, 1e-37f)) : 1.f;
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis) in.dual[axis * in.n_voxel + i] = shrink * q[axis];
}

// pull <- ∇ᵀ(∇x + u_old − 2u) with turn = ∇ᵀu_old of the step before; turn <- ∇ᵀu.
FERRITIN_DEVICE void pull_at(const VariationArgs& in, long long i, const Neighbours& n, const float* per) {
  const float here = in.x[i];
  float turn = 0.f, bend = 0.f;
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis) {
    const float* u = in.dual + axis * in.n_voxel + i;
    turn += (u[n.before[axis]] - u[0]) * per[axis];
    bend += ((here - in.x[i + n.next[axis]]) + (here - in.x[i + n.before[axis]])) * per[axis] * per[axis];
  }
  in.pull[i] = bend + in.turn[i] - 2.f * turn;
  in.turn[i] = turn;
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
  in.radius ? ferritin::shrink_at<true>(in, i, n, per) : ferritin::shrink_at<false>(in, i, n, per);
#endif
}
#endif
