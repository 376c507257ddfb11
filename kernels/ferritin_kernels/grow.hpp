// ROMEO's region growing: from the best voxel along the cheapest edge, with one bucket per cost. CPU only: it is serial.
// Meaning: romeo.py.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace ferritin {

struct RomeoGrowArgs {
  float* phase;
  const unsigned char* cost;
  const unsigned char* mask;
  int* region;
  int* n_regions;
  long long n_voxel;
  long long stride_x;
  long long stride_y;
  int resume;
};

// Edges waiting, in 256 stacks by cost. An edge is 3 * voxel + axis; Edge is as wide as the volume needs.
template <class Edge>
class Buckets {
 public:
  void push(unsigned char cost, Edge edge) {
    stack_[cost].push_back(edge);
    if (cost < lowest_) lowest_ = cost;
  }
  bool pop(Edge& edge) {
    while (lowest_ < 256 && stack_[lowest_].empty()) ++lowest_;
    if (lowest_ == 256) return false;
    edge = stack_[lowest_].back();
    stack_[lowest_].pop_back();
    return true;
  }
  int lowest() const { return lowest_; }  // after pop: the cost of the edge that was taken

 private:
  std::vector<Edge> stack_[256];
  int lowest_ = 256;
};

template <class Edge>
class Grower {
 public:
  explicit Grower(const RomeoGrowArgs& in) : in_(in), stride_{in.stride_x, in.stride_y, 1} {}

  // Every connected piece of the mask becomes a region 1, 2, ... grown from its own best voxel.
  // resume: voxels with a region stay as they are, and growth begins at their edges.
  void run() {
    if (in_.resume) {
      for (long long v = 0; v < in_.n_voxel; ++v)
        if (in_.region[v]) push(v);
      spread();
    }
    int regions = *in_.n_regions;
    for (const Edge v : seeds())
      if (!in_.region[v]) {
        in_.region[v] = ++regions;
        push(v);
        spread();
      }
    *in_.n_regions = regions;
  }

 private:
  // All voxels of the mask, those with the smallest sum of forward costs first (no edge counts as the highest cost).
  std::vector<Edge> seeds() const {
    constexpr int SUMS = 3 * 255 + 1;
    std::vector<long long> start(SUMS + 1, 0);
    auto sum = [&](long long v) {
      int s = 0;
      for (int axis = 0; axis < 3; ++axis) {
        const int c = in_.cost[axis * in_.n_voxel + v];
        s += c ? c : 255;
      }
      return s;
    };
    auto wanted = [&](long long v) { return (!in_.mask || in_.mask[v]) && !in_.region[v]; };
    for (long long v = 0; v < in_.n_voxel; ++v)
      if (wanted(v)) ++start[sum(v) + 1];
    for (int s = 0; s < SUMS; ++s) start[s + 1] += start[s];
    std::vector<Edge> order(start[SUMS]);
    for (long long v = 0; v < in_.n_voxel; ++v)
      if (wanted(v)) order[start[sum(v)]++] = static_cast<Edge>(v);
    return order;
  }

  void push(long long v) {
    for (int axis = 0; axis < 3; ++axis) {
      const unsigned char* cost = in_.cost + axis * in_.n_voxel;
      const long long s = stride_[axis];
      if (cost[v] && !in_.region[v + s]) queue_.push(cost[v], static_cast<Edge>(3 * v + axis));
      if (v >= s && cost[v - s] && !in_.region[v - s]) queue_.push(cost[v - s], static_cast<Edge>(3 * (v - s) + axis));
    }
  }

  void spread() {
    constexpr float turn = 6.283185307f;
    for (Edge edge; queue_.pop(edge);) {
      const long long i = edge / 3, j = i + stride_[edge % 3];
      if (in_.region[i] && in_.region[j]) continue;
      const long long known = in_.region[i] ? i : j, fresh = in_.region[i] ? j : i;
      in_.phase[fresh] -= turn * std::nearbyint((in_.phase[fresh] - in_.phase[known]) / turn);
      in_.region[fresh] = in_.region[known];
      push(fresh);
    }
  }

  const RomeoGrowArgs& in_;
  const long long stride_[3];
  Buckets<Edge> queue_;
};

struct RomeoLevelArgs {
  float* phase;
  const float* second;
  const int* region;
  long long n_voxel;
  int n_regions;
  float ratio;
};

// Shift each region by the turns that bring it nearest to the other echo, scaled by the echo times; where several do
// so equally well, or there is no other echo, by those that bring its mean nearest to zero.
inline void romeo_level(const RomeoLevelArgs& in) {
  constexpr int REACH = 2, TRIES = 2 * REACH + 1;
  constexpr double turn = 6.283185307179586;
  struct Sums {
    double count = 0, phase = 0, misfit[TRIES] = {};
  };
  std::vector<Sums> sums(in.n_regions + 1);
  for (long long v = 0; v < in.n_voxel; ++v) {
    Sums& s = sums[in.region[v]];
    if (!in.region[v] || !std::isfinite(in.phase[v])) continue;
    s.count += 1;
    s.phase += in.phase[v];
    for (int k = 0; in.second && k < TRIES; ++k) {
      const float x = (in.second[v] - (in.phase[v] + static_cast<float>(turn * (k - REACH))) * in.ratio) / static_cast<float>(turn);
      s.misfit[k] += std::isfinite(x) ? std::fabs(x - std::nearbyint(x)) : 0.f;
    }
  }
  std::vector<float> shift(in.n_regions + 1, 0.f);
  for (int r = 1; r <= in.n_regions; ++r) {
    const Sums& s = sums[r];
    const double mean = s.phase / (s.count > 0 ? s.count : 1);
    if (!in.second) {
      shift[r] = static_cast<float>(-turn * std::nearbyint(mean / turn));
      continue;
    }
    double best = 1e30;
    for (int k = 0; k < TRIES; ++k) {
      const double moved = mean + turn * (k - REACH);
      const double score = s.misfit[k] / (s.count > 0 ? s.count : 1) + 0.01 * std::fabs(moved) / turn;
      if (score >= best) continue;
      best = score;
      shift[r] = static_cast<float>(turn * (k - REACH));
    }
  }
  for (long long v = 0; v < in.n_voxel; ++v) in.phase[v] += shift[in.region[v]];
}

}  // namespace ferritin
