// The CPU's launch of every kernel: 16 lanes a group, threads over blocks of voxels, a plain C interface for ctypes.
// Built once per instruction set (CMakeLists.txt); cpu.py loads the best that the machine has.
#include <atomic>
#include <thread>
#include <vector>

#include "monoexp.cuh"

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

}  // extern "C"
#pragma GCC visibility pop
