// ROMEO's edge weights on the CPU: row by row, each row a vector loop over z. The weight itself is in romeo.cuh.
#pragma once
#include "parallel.hpp"
#include "romeo.cuh"

namespace ferritin {

// Edge weights along one row of z, edges [from, to): all of them have, or none has, a voxel on either side.
template <int MAGNITUDE>
void weigh(const RomeoWeightsArgs& in, long long row, long long stride, int from, int to, bool inner,
           float* weight) {
#pragma omp simd
  for (int z = from; z < to; ++z) {
    const long long i = row + z;
    const bool inside = !in.mask || (in.mask[i] && in.mask[i + stride]);
    const float w = romeo_weight<MAGNITUDE>(in, i, stride, inner);
    weight[z] = inside ? w : -1.f;
  }
}

// Weights of the edges that leave a row along an axis, -1 for no edge; `at` is the row's place on that axis.
template <int MAGNITUDE>
void weigh_row(const RomeoWeightsArgs& in, int axis, int at, long long row, float* weight) {
  const int size = axis == 0 ? in.nx : in.ny, nz = in.nz;
  if (axis < 2) {
    const long long stride = axis == 0 ? static_cast<long long>(in.ny) * nz : nz;
    if (at >= 0 && at + 1 < size) return weigh<MAGNITUDE>(in, row, stride, 0, nz, at > 0 && at + 2 < size, weight);
    for (int z = 0; z < nz; ++z) weight[z] = -1.f;
    return;
  }
  weight[nz - 1] = -1.f;
  weigh<MAGNITUDE>(in, row, 1, 0, nz > 1 ? 1 : 0, false, weight);
  weigh<MAGNITUDE>(in, row, 1, 1, nz - 2, true, weight);
  if (nz > 2) weigh<MAGNITUDE>(in, row, 1, nz - 2, nz - 1, false, weight);
}

template <int MAGNITUDE>
void romeo_row(const RomeoWeightsArgs& in, long long r, float* weight, float* sum) {
  const int nz = in.nz, at[3] = {static_cast<int>(r / in.ny), static_cast<int>(r % in.ny), 0};
  const long long row = r * nz, stride[3] = {static_cast<long long>(in.ny) * nz, nz, 1};
  float* edges = sum + nz;
  for (int z = 0; z < 2 * nz; ++z) sum[z] = 0.f;
  auto count = [&](int z, float w) {
    sum[z] += w >= 0.f ? w : 0.f;
    edges[z] += w >= 0.f ? 1.f : 0.f;
  };
  for (int axis = 0; axis < 3; ++axis) {
    weigh_row<MAGNITUDE>(in, axis, at[axis], row, weight);
    unsigned char* cost = in.cost ? in.cost + axis * in.n_voxel + row : nullptr;
    for (int z = 0; cost && z < nz; ++z) cost[z] = romeo_cost(weight[z], weight[z] >= 0.f);
    if (!in.quality) continue;
    for (int z = 0; z < nz; ++z) count(z, weight[z]);
    if (axis < 2) weigh_row<MAGNITUDE>(in, axis, at[axis] - 1, row - stride[axis], weight);
    for (int z = axis < 2 ? 0 : 1; z < nz; ++z) count(z, weight[axis < 2 ? z : z - 1]);
  }
  for (int z = 0; in.quality && z < nz; ++z) in.quality[row + z] = sum[z] / maximum(edges[z], 1.f);
}

template <int MAGNITUDE>
void romeo_weights(const RomeoWeightsArgs& in, int threads) {
  parallel(static_cast<long long>(in.nx) * in.ny, threads, [&] {
    return [&, line = std::vector<float>(3 * in.nz)](long long r) mutable {
      romeo_row<MAGNITUDE>(in, r, line.data(), line.data() + in.nz);
    };
  });
}

void follow(const RomeoTemporalArgs& in, int e, int way, long long first, long long last) {
  const float* known = in.phase + (e - way) * in.n_voxel;
  float* fresh = in.phase + e * in.n_voxel;
  const float ratio = in.te[e] / in.te[e - way];
#pragma omp simd
  for (long long i = first; i < last; ++i) fresh[i] = romeo_follow(fresh[i], known[i], ratio);
}

}  // namespace ferritin
