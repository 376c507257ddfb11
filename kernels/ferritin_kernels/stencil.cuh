// Finite differences on a volume: gradient, divergence (minus its adjoint), Laplacian. Periodic, or with walls.
// Meaning: meaning/stencil.py. Launched by cpu.cpp (rows as vectors) and gpu.py (one voxel a thread).
#pragma once
#include "lanes.cuh"

namespace ferritin {

enum Stencil { STENCIL_GRADIENT = 0, STENCIL_DIVERGENCE = 1, STENCIL_LAPLACIAN = 2 };

struct StencilArgs {
  const float* in;
  float* out;
  long long n_voxel;
  int nx;
  int ny;
  int nz;
  int stencil;
  int periodic;
  int backward;
  float per_x;
  float per_y;
  float per_z;
};

// A voxel's place among its neighbours along each axis: offsets to the next and to the one before (0 at a wall), and
// whether there are such neighbours (1 or 0).
struct Neighbours {
  long long next[3], before[3];
  float has_next[3], has_before[3];

  FERRITIN_DEVICE void set(int axis, int at, int size, long long stride, bool periodic) {
    const bool last = at + 1 == size, first = at == 0;
    next[axis] = !last ? stride : periodic ? stride * (1 - size) : 0;
    before[axis] = !first ? -stride : periodic ? stride * (size - 1) : 0;
    has_next[axis] = !last || periodic ? 1.f : 0.f;
    has_before[axis] = !first || periodic ? 1.f : 0.f;
  }
};

// Forward differences x[next] - x, or backward ones x - x[before]; zero where there is no neighbour.
FERRITIN_DEVICE void gradient_at(const StencilArgs& in, long long i, const Neighbours& n, const float* per) {
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis) {
    const long long high = in.backward ? 0 : n.next[axis], low = in.backward ? n.before[axis] : 0;
    in.out[axis * in.n_voxel + i] = (in.in[i + high] - in.in[i + low]) * per[axis];
  }
}

// Minus the adjoint of the gradient of the same kind.
FERRITIN_DEVICE void divergence_at(const StencilArgs& in, long long i, const Neighbours& n, const float* per) {
  float sum = 0.f;
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis) {
    const float* g = in.in + axis * in.n_voxel + i;
    const float forward = n.has_next[axis] * g[0] - n.has_before[axis] * g[n.before[axis]];
    const float backward = n.has_next[axis] * g[n.next[axis]] - n.has_before[axis] * g[0];
    sum += (in.backward ? backward : forward) * per[axis];
  }
  in.out[i] = sum;
}

// Divergence of the gradient: seven points, and no flow through walls.
FERRITIN_DEVICE void laplacian_at(const StencilArgs& in, long long i, const Neighbours& n, const float* per) {
  const float here = in.in[i];
  float sum = 0.f;
  FERRITIN_UNROLL
  for (int axis = 0; axis < 3; ++axis)
    sum += ((in.in[i + n.next[axis]] - here) + (in.in[i + n.before[axis]] - here)) * per[axis] * per[axis];
  in.out[i] = sum;
}

template <int STENCIL>
FERRITIN_DEVICE void stencil_at(const StencilArgs& in, long long i, const Neighbours& n, const float* per) {
  if constexpr (STENCIL == STENCIL_GRADIENT) gradient_at(in, i, n, per);
  if constexpr (STENCIL == STENCIL_DIVERGENCE) divergence_at(in, i, n, per);
  if constexpr (STENCIL == STENCIL_LAPLACIAN) laplacian_at(in, i, n, per);
}

}  // namespace ferritin

#if defined(FERRITIN_STENCIL) && (defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA))
extern "C" __global__ void stencil(ferritin::StencilArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel) return;
  const float per[3] = {in.per_x, in.per_y, in.per_z};
  ferritin::Neighbours n;
  n.set(0, static_cast<int>(i / in.nz / in.ny), in.nx, static_cast<long long>(in.ny) * in.nz, in.periodic);
  n.set(1, static_cast<int>(i / in.nz % in.ny), in.ny, in.nz, in.periodic);
  n.set(2, static_cast<int>(i % in.nz), in.nz, 1, in.periodic);
  ferritin::stencil_at<FERRITIN_STENCIL>(in, i, n, per);
}
#endif
