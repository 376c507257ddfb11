// Voxels over threads and lanes: what cpu.cpp launches the kernels with.
#pragma once
#include <atomic>
#include <thread>
#include <vector>

#include "lanes.cuh"

namespace ferritin {

constexpr int W = 16;
constexpr int FEW = W / 2;
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

// The voxels of [first, last) inside the mask; returns their number.
inline long long gather(const unsigned char* mask, long long first, long long last, Voxel* voxels) {
  long long n = 0;
  for (long long i = first; i < last; ++i) {
    voxels[n].voxel = i;
    n += !mask || mask[i];
  }
  return n;
}

// Fit the voxels of the mask with a kernel that has State and run(). A group of W voxels runs until few of them
// still move; those are put together into new groups, so that one slow voxel does not hold up fifteen.
template <class Kernel, class Args, class Place>
long long advance(const Args& in, float* scratch, Place* places, long long n, bool fresh,
                  typename Kernel::State* left) {
  Kernel kernel(in, scratch);  // here, where the compiler sees all that happens to it
  const int few = n > W ? FEW : 0;
  long long waiting = 0;
  for (int l = 0; n && l < W; ++l) places[n + l] = places[n - 1];  // a short group repeats its last voxel
  for (long long k = 0; k < n; k += W)
    waiting += kernel.run(places + k, static_cast<int>(n - k < W ? n - k : W), fresh, few, left + waiting);
  return waiting;
}

template <class Kernel, class Args>
void fit(const Args& in, int lines, int threads) {
  using State = typename Kernel::State;
  parallel((in.n_voxel + BLOCK - 1) / BLOCK, threads, [&] {
    return [&, scratch = std::vector<Line>(lines), fresh = std::vector<Voxel>(BLOCK + W),
            left = std::vector<State>(BLOCK + W)](long long b) mutable {
      const long long last = in.n_voxel < (b + 1) * BLOCK ? in.n_voxel : (b + 1) * BLOCK;
      long long n = gather(in.mask, b * BLOCK, last, fresh.data());
      n = advance<Kernel>(in, scratch[0].v, fresh.data(), n, true, left.data());
      while (n) n = advance<Kernel>(in, scratch[0].v, left.data(), n, false, left.data());
    };
  });
}

// Give work(first, last) stretches of [0, n) that a vector loop can run over.
template <class Work>
void for_stretches(long long n, int threads, Work work) {
  parallel((n + BLOCK - 1) / BLOCK, threads, [&] {
    return [&](long long b) { work(b * BLOCK, n < (b + 1) * BLOCK ? n : (b + 1) * BLOCK); };
  });
}

}  // namespace ferritin
