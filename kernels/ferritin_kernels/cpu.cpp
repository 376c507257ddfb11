// The CPU's launch of every kernel: 16 lanes a group, threads over blocks of voxels, a plain C interface for ctypes.
// Built once per instruction set (CMakeLists.txt); cpu.py loads the best that the machine has.
#include <atomic>
#include <thread>
#include <vector>

#include "grow.hpp"
#include "monoexp.cuh"
#include "romeo.cuh"

namespace {

constexpr int W = 16;
constexpr long long BLOCK = 4096;

// Run work(block) for 0 <= block < blocks on some threads. Threads of our own, not OpenMP's: they end with the call,
// so that a process that forks afterwards is safe and no pool spins beside the FFT's workers.
template <class Make>
void parallel(long long blocks, int threads, Make make) {
  std::atomic<long long> next{0};
  auto run = [&] {
    auto work = make();
    for (long long b; (b = next++) < blocks;) work(b);
  };
  std::vector<std::thread> pool;
  for (long long k = 1; k < threads && k < blocks; ++k) pool.emplace_back(run);
  run();
  for (auto& t : pool) t.join();
}

struct alignas(64) Line {
  float v[W];
};

// Give the voxels of the mask in groups of W to `fit(scratch, voxels, count)`; a last, short group repeats its voxel.
template <class Fit>
void for_groups(long long n_voxel, const unsigned char* mask, int lines, int threads, Fit fit) {
  parallel((n_voxel + BLOCK - 1) / BLOCK, threads, [&] {
    return [&, scratch = std::vector<Line>(lines), list = std::vector<long long>(BLOCK + W)](long long b) mutable {
      long long found = 0;
      for (long long i = b * BLOCK; i < n_voxel && i < (b + 1) * BLOCK; ++i) {
        list[found] = i;
        found += !mask || mask[i];
      }
      for (long long k = found; found && k < found + W; ++k) list[k] = list[found - 1];
      for (long long k = 0; k < found; k += W)
        fit(scratch[0].v, &list[k], static_cast<int>(found - k < W ? found - k : W));
    };
  });
}

template <int MODEL>
void monoexp(const ferritin::MonoexpArgs& in, int threads) {
  for_groups(in.n_voxel, in.mask, in.n_echo, threads, [&](float* scratch, const long long* voxel, int count) {
    ferritin::Monoexp<W, 0, MODEL>(in, scratch).run(voxel, count);
  });
}

// Give work(first, last) stretches of [0, n) that a vector loop can run over.
template <class Work>
void for_stretches(long long n, int threads, Work work) {
  parallel((n + BLOCK - 1) / BLOCK, threads, [&] {
    return [&](long long b) { work(b * BLOCK, n < (b + 1) * BLOCK ? n : (b + 1) * BLOCK); };
  });
}

// Edge weights along one row of z, edges [from, to): all of them have, or none has, a voxel on either side.
template <int MAGNITUDE>
void weigh(const ferritin::RomeoWeightsArgs& in, long long row, long long stride, int from, int to, bool inner,
           float* weight) {
#pragma omp simd
  for (int z = from; z < to; ++z) {
    const long long i = row + z;
    const bool inside = !in.mask || (in.mask[i] && in.mask[i + stride]);
    const float w = ferritin::romeo_weight<MAGNITUDE>(in, i, stride, inner);
    weight[z] = inside ? w : -1.f;
  }
}

// Weights of the edges that leave a row along an axis, -1 for no edge; `at` is the row's place on that axis.
template <int MAGNITUDE>
void weigh_row(const ferritin::RomeoWeightsArgs& in, int axis, int at, long long row, float* weight) {
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
void romeo_row(const ferritin::RomeoWeightsArgs& in, long long r, float* weight, float* sum) {
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
    for (int z = 0; cost && z < nz; ++z) cost[z] = ferritin::romeo_cost(weight[z], weight[z] >= 0.f);
    if (!in.quality) continue;
    for (int z = 0; z < nz; ++z) count(z, weight[z]);
    if (axis < 2) weigh_row<MAGNITUDE>(in, axis, at[axis] - 1, row - stride[axis], weight);
    for (int z = axis < 2 ? 0 : 1; z < nz; ++z) count(z, weight[axis < 2 ? z : z - 1]);
  }
  for (int z = 0; in.quality && z < nz; ++z) in.quality[row + z] = sum[z] / ferritin::maximum(edges[z], 1.f);
}

template <int MAGNITUDE>
void romeo_weights(const ferritin::RomeoWeightsArgs& in, int threads) {
  parallel(static_cast<long long>(in.nx) * in.ny, threads, [&] {
    return [&, line = std::vector<float>(3 * in.nz)](long long r) mutable {
      romeo_row<MAGNITUDE>(in, r, line.data(), line.data() + in.nz);
    };
  });
}

void follow(const ferritin::RomeoTemporalArgs& in, int e, int way, long long first, long long last) {
  const float* known = in.phase + (e - way) * in.n_voxel;
  float* fresh = in.phase + e * in.n_voxel;
  const float ratio = in.te[e] / in.te[e - way];
#pragma omp simd
  for (long long i = first; i < last; ++i) fresh[i] = ferritin::romeo_follow(fresh[i], known[i], ratio);
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// 4, 3, or 1: the x86-64 level of this machine; 0 elsewhere.
int ferritin_cpu_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) return 1;
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return v4 ? 4 : 3;
#else
  return 0;
#endif
}

void ferritin_monoexp(const ferritin::MonoexpArgs* in, int threads) {
  switch (in->model) {
    case ferritin::MONOEXP_PLAIN: return monoexp<ferritin::MONOEXP_PLAIN>(*in, threads);
    case ferritin::MONOEXP_SECOND: return monoexp<ferritin::MONOEXP_SECOND>(*in, threads);
    case ferritin::MONOEXP_FIRST: return monoexp<ferritin::MONOEXP_FIRST>(*in, threads);
    case ferritin::MONOEXP_FLOOR: return monoexp<ferritin::MONOEXP_FLOOR>(*in, threads);
  }
}

void ferritin_romeo_weights(const ferritin::RomeoWeightsArgs* in, int threads) {
  if (!in->magnitude) return romeo_weights<ferritin::ROMEO_NO_MAGNITUDE>(*in, threads);
  if (!in->complex_magnitude) return romeo_weights<ferritin::ROMEO_REAL>(*in, threads);
  romeo_weights<ferritin::ROMEO_COMPLEX>(*in, threads);
}

void ferritin_romeo_grow(const ferritin::RomeoGrowArgs* in, int) {
  if (3 * in->n_voxel < 0xffffffffLL) return ferritin::Grower<std::uint32_t>(*in).run();
  ferritin::Grower<std::uint64_t>(*in).run();
}

void ferritin_romeo_level(const ferritin::RomeoLevelArgs* in, int) { ferritin::romeo_level(*in); }

void ferritin_romeo_temporal(const ferritin::RomeoTemporalArgs* in, int threads) {
  for_stretches(in->n_voxel, threads, [&](long long first, long long last) {
    for (int way = -1; way <= 1; way += 2)
      for (int e = in->reference + way; e >= 0 && e < in->n_echo; e += way) follow(*in, e, way, first, last);
    for (int e = 0; in->mask && e < in->n_echo; ++e)
      for (long long i = first; i < last; ++i) {
        float& p = in->phase[e * in->n_voxel + i];
        p = in->mask[i] ? p : 0.f;
      }
  });
}

void ferritin_phase(const ferritin::PhaseArgs* in, int threads) {
  for_stretches(in->n_voxel, threads, [&](long long first, long long last) {
#pragma omp simd
    for (long long i = first; i < last; ++i)
      in->phase[i] = ferritin::TWO_PI * ferritin::angle(in->echoes[2 * i + 1], in->echoes[2 * i]);
  });
}

}  // extern "C"
#pragma GCC visibility pop
