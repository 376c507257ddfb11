// Voxels over threads and lanes: what cpu.cpp launches the kernels with.
#pragma once
#include <atomic>
#include <thread>
#include <vector>

namespace ferritin {

constexpr int W = 16;
constexpr int FEW = W / 3;
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

// Fit the voxels of the mask with a kernel that has State and run(). A group of W voxels runs until few of them
// still move; those are put together into new groups, so that one slow voxel does not hold up fifteen.
template <class Kernel, class Args>
void fit(const Args& in, int lines, int threads) {
  using State = typename Kernel::State;
  parallel((in.n_voxel + BLOCK - 1) / BLOCK, threads, [&] {
    return [&, scratch = std::vector<Line>(lines), states = std::vector<State>(BLOCK + W)](long long b) mutable {
      Kernel kernel(in, scratch[0].v);
      long long waiting = 0;
      for (long long i = b * BLOCK; i < in.n_voxel && i < (b + 1) * BLOCK; ++i)
        if (!in.mask || in.mask[i]) {
          states[waiting] = State();
          states[waiting++].voxel = i;
        }
      bool fresh = true;
      for (; waiting; fresh = false) {
        const int few = waiting > W ? FEW : 0;
        for (int l = 0; l < W; ++l) states[waiting + l] = states[waiting - 1];  // a short group repeats its last voxel
        long long left = 0;
        for (long long k = 0; k < waiting; k += W) {
          const int count = static_cast<int>(waiting - k < W ? waiting - k : W);
          left += kernel.run(&states[k], count, fresh, few, &states[left]);
        }
        waiting = left;
      }
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
