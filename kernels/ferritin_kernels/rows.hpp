// Kernels with neighbours on the CPU: row by row, each row a vector loop over z. What is done at a voxel is in the .cuh.
#pragma once
#include "mean.cuh"
#include "parallel.hpp"
#include "romeo.cuh"
#include "stencil.cuh"

namespace ferritin {

// Edge weights along one row of z, edges [from, to): all of them have, or none has, a voxel on either side.
template <int MAGNITUDE>
void weigh(const RomeoWeightsArgs in, long long row, long long stride, int from, int to, bool inner, float* weight) {
#pragma omp simd
  for (int z = from; z < to; ++z) weight[z] = romeo_weight<MAGNITUDE>(in, row + z, stride, inner);
  if (!in.mask) return;
  const unsigned char *here = in.mask + row, *next = here + stride;
  for (int z = from; z < to; ++z) weight[z] = (here[z] != 0) & (next[z] != 0) ? weight[z] : -1.f;
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

template <int STENCIL>
void stencil_rows(const StencilArgs& in, int threads) {
  parallel(static_cast<long long>(in.nx) * in.ny, threads, [&] {
    return [&](long long r) {
      const StencilArgs a = in;  // a copy that no store can change: it stays in registers
      const float per[3] = {a.per_x, a.per_y, a.per_z};
      Neighbours n;
      n.set(0, static_cast<int>(r / in.ny), in.nx, static_cast<long long>(in.ny) * in.nz, in.periodic);
      n.set(1, static_cast<int>(r % in.ny), in.ny, in.nz, in.periodic);
      auto ends = [&](int z) {
        n.set(2, z, in.nz, 1, in.periodic);
        stencil_at<STENCIL>(a, r * a.nz + z, n, per);
      };
      ends(0);
      if (in.nz > 1) ends(in.nz - 1);
      if (in.nz < 3) return;
      n.set(2, 1, in.nz, 1, in.periodic);
      const Neighbours inside = n;
#pragma omp simd
      for (int z = 1; z < a.nz - 1; ++z) stencil_at<STENCIL>(a, r * a.nz + z, inside, per);
    };
  });
}

inline void mean_rows(const MeanArgs& in, int threads) {
  parallel(static_cast<long long>(in.nx) * in.ny, threads, [&] {
    return [&](long long r) {
      const int x = static_cast<int>(r / in.ny), y = static_cast<int>(r % in.ny), nz = in.nz;
      float* out = in.out + r * nz;
      for (int z = 0; z < nz; ++z) out[z] = 0.f;
      for (int k = 0; k < in.n_runs; ++k) {
        const int u = x + in.runs[3 * k], v = y + in.runs[3 * k + 1], h = in.runs[3 * k + 2];
        if (u < 0 || u >= in.nx || v < 0 || v >= in.ny) continue;
        const float* row = in.sums + (static_cast<long long>(u) * in.ny + v) * (nz + 1);
        const int first = h < nz ? h : nz, last = nz - h - 1 > first ? nz - h - 1 : first;
        for (int z = 0; z < first; ++z) out[z] += run_sum(row, z, h, nz);
#pragma omp simd
        for (int z = first; z < last; ++z) out[z] += row[z + h + 1] - row[z - h];
        for (int z = last; z < nz; ++z) out[z] += run_sum(row, z, h, nz);
      }
      for (int z = 0; z < nz; ++z) out[z] *= in.scale;
    };
  });
}

}  // namespace ferritin
