// Total variation's split on the CPU: planes of x over threads; the pull follows one plane behind, in the cache.
#pragma once
#include "parallel.hpp"
#include "variation.cuh"

namespace ferritin {

template <class At>
void along_plane(const VariationArgs& in, int x, At at) {
  const VariationArgs a = in;  // a copy that no store can change: it stays in registers
  const float per[3] = {a.per_x, a.per_y, a.per_z};
  Neighbours n;
  n.set(0, x, a.nx, static_cast<long long>(a.ny) * a.nz, true);
  for (int y = 0; y < a.ny; ++y) {
    const long long row = (static_cast<long long>(x) * a.ny + y) * a.nz;
    n.set(1, y, a.ny, a.nz, true);
    n.set(2, 0, a.nz, 1, true);
    at(a, row, n, per);
    if (a.nz > 1) {
      n.set(2, a.nz - 1, a.nz, 1, true);
      at(a, row + a.nz - 1, n, per);
    }
    n.next[2] = 1, n.before[2] = -1;
    const Neighbours inside = n;
#pragma omp simd
    for (int z = 1; z < a.nz - 1; ++z) at(a, row + z, inside, per);
  }
}

template <bool MAP>
void variation(const VariationArgs& in, int threads) {
  const int slab = in.nx / (8 * threads) > 4 ? in.nx / (8 * threads) : 4, slabs = (in.nx + slab - 1) / slab;
  using Per = const float*;
  auto split = [](const VariationArgs& a, long long i, const Neighbours& n, Per per) { split_at<MAP>(a, i, n, per); };
  auto pull = [](const VariationArgs& a, long long i, const Neighbours& n, Per per) { pull_at(a, i, n, per); };
  parallel(slabs, threads, [&] {
    return [&](long long k) {
      const int first = static_cast<int>(k) * slab, end = first + slab < in.nx ? first + slab : in.nx;
      for (int x = first; x < end; ++x) {
        along_plane(in, x, split);
        if (x > first) along_plane(in, x, pull);
      }
    };
  });
  // The first plane of a slab needs the split of the slab before.
  parallel(slabs, threads, [&] { return [&](long long k) { along_plane(in, static_cast<int>(k) * slab, pull); }; });
}

}  // namespace ferritin
