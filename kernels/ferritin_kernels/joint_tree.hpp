// From masked echoes to a first field: the graph of the mask, field steps between neighbours from all echoes, growth
// along the surest of them, and the linear fit that separates field and offset.
#pragma once
#include <complex>

#include "grow.hpp"
#include "joint_samples.hpp"
#include "parallel.hpp"

namespace ferritin {

// The list of the mask's voxels is sorted, so the neighbour along any axis is found by a second finger moving with the first.
inline void joint_graph(const JointGraphArgs& in) {
  int n = 0;
  for (long long i = 0; i < in.n_total; ++i)
    if (in.mask[i]) in.voxel[n++] = static_cast<int>(i);
  std::fill(in.neighbour, in.neighbour + 6LL * n, -1);
  const int stride[3] = {in.ny * in.nz, in.nz, 1}, size[3] = {in.nx, in.ny, in.nz};
  for (int axis = 0; axis < 3; ++axis)
    for (int i = 0, j = 0; i < n; ++i) {
      if (in.voxel[i] / stride[axis] % size[axis] + 1 == size[axis]) continue;
      const int wanted = in.voxel[i] + stride[axis];
      while (j < n && in.voxel[j] < wanted) ++j;
      if (j == n || in.voxel[j] != wanted) continue;
      in.neighbour[6LL * i + 2 * axis + 1] = j;
      in.neighbour[6LL * j + 2 * axis] = i;
    }
}

inline void joint_polar(const JointPolarArgs& in, long long first, long long last) {
  for (long long i = first; i < last; ++i)
    for (int e = 0; e < in.n_echo; ++e) {
      const float* s = in.echoes + 2 * (e * in.n_total + in.voxel[i]);
      const float power = s[0] * s[0] + s[1] * s[1];
      const bool finite = std::isfinite(power);
      in.phase[i * in.n_echo + e] = finite ? std::atan2(s[1], s[0]) : 0.f;
      in.power[i * in.n_echo + e] = finite ? power : 0.f;
    }
}

// The step of the field between two neighbours has no offset in it: the phase differences of all echoes are
// 2 pi step TE. Its likelihood is looked up on a grid; the cost tells how far the second best peak lies below, and how
// near the step comes to the reach, where one turn looks like another.
class Steps {
 public:
  Steps(const JointStepsArgs& args, int threads)
      : in_(args), trials_(args.n_trial), padded_((args.n_trial + 7) / 8 * 8), cosine_(table(args, false)), sine_(table(args, true)), phasor_(2LL * args.n * args.n_echo) {
    for_stretches(1LL * args.n * args.n_echo, threads, [&](long long first, long long last) {
      for (long long i = first; i < last; ++i) {
        phasor_[2 * i] = std::cos(args.phase[i]);
        phasor_[2 * i + 1] = std::sin(args.phase[i]);
      }
    });
  }

  void run(long long first, long long last) const {
    std::vector<float> score(padded_ + 2);
    for (long long v = first; v < last; ++v)
      for (int axis = 0; axis < 3; ++axis) {
        const int w = in_.neighbour[6 * v + 2 * axis + 1];
        if (w < 0) continue;
        likelihood(v, w, score.data() + 1);
        peak(score.data() + 1, in_.step[3 * v + axis], in_.cost[3 * v + axis]);
      }
  }

 private:
  static constexpr float TRUST = 12;  // no phase difference is surer than 0.3 rad, however strong the signal
  static constexpr float MARGIN = 10;

  static std::vector<float> table(const JointStepsArgs& in, bool sine) {
    std::vector<float> out;
    for (int e = 0; e < in.n_echo; ++e)
      for (int k = 0; k < (in.n_trial + 7) / 8 * 8; ++k) {
        const float angle = TURN * in.te[e] * in.reach * (2.f * k / (in.n_trial - 1) - 1);
        out.push_back(sine ? std::sin(angle) : std::cos(angle));
      }
    return out;
  }

  void likelihood(long long v, long long w, float* score) const {
    std::fill(score, score + padded_, 0.f);
    const float per_noise = 1 / (in_.noise_sd * in_.noise_sd + 1e-30f);
    for (int e = 0; e < in_.n_echo; ++e) {
      const float a = in_.power[v * in_.n_echo + e] * per_noise, b = in_.power[w * in_.n_echo + e] * per_noise;
      const float weight = TRUST * a * b / (a * b + TRUST * (a + b) + 1e-30f);  // 1/weight = 1/a + 1/b + 1/TRUST
      const float *p = &phasor_[2 * (v * in_.n_echo + e)], *q = &phasor_[2 * (w * in_.n_echo + e)];
      const float re = weight * (p[0] * q[0] + p[1] * q[1]), im = weight * (p[0] * q[1] - p[1] * q[0]);
      const float *c = &cosine_[e * padded_], *s = &sine_[e * padded_];
      for (int k = 0; k < padded_; ++k) score[k] += re * c[k] + im * s[k];
    }
    score[-1] = -1e30f;
    std::fill(score + trials_, score + padded_ + 1, -1e30f);
  }

  void peak(const float* score, float& step, unsigned char& cost) const {
    float top = score[0];
#pragma omp simd reduction(max : top)
    for (int k = 0; k < padded_; ++k) top = top > score[k] ? top : score[k];
    int best = 0;
    while (score[best] < top) ++best;
    float second = top - 8 * MARGIN, shift = 0;
#pragma omp simd reduction(max : second)
    for (int k = 0; k < padded_; ++k) {
      const bool is_peak = (score[k] >= score[k - 1]) & (score[k] >= score[k + 1]) & (k != best);
      const float other = is_peak ? score[k] : -1e30f;
      second = second > other ? second : other;
    }
    if (best > 0 && best + 1 < trials_) {
      const float left = score[best - 1], right = score[best + 1], bend = left - 2 * score[best] + right;
      shift = bend < 0 ? 0.5f * (left - right) / bend : 0.f;
    }
    step = in_.reach * (2 * (best + shift) / (trials_ - 1) - 1);
    const float unsure = std::exp((second - score[best]) / MARGIN), steep = std::sqrt(std::fabs(step) / in_.reach);
    cost = static_cast<unsigned char>(std::max(1.f, 255 * std::min(1.f, std::max(unsure, steep))));
  }

  const JointStepsArgs& in_;
  const int trials_, padded_;  // whole vectors
  const std::vector<float> cosine_, sine_;
  std::vector<float> phasor_;
};

// Spanning tree along the cheapest edges. The phase at a new voxel takes the turn nearest to its neighbour's phase
// plus the step between them.
inline void joint_grow(const JointGrowArgs& in) {
  Buckets<unsigned> queue;
  std::vector<unsigned char> cheapest(in.n, 255);  // edge to a voxel that waits: what costs more would come too late
  auto cost = [&](int v, int way) { return way & 1 ? in.cost[3LL * v + way / 2] : in.cost[3LL * in.neighbour[6LL * v + way] + way / 2]; };
  auto push = [&](int v) {
    for (int way = 0; way < 6; ++way)
      if (const int w = in.neighbour[6LL * v + way]; w >= 0 && !in.region[w])
        if (const unsigned char c = cost(v, way); c <= cheapest[w]) queue.push(cheapest[w] = c, 6u * v + way);
  };
  std::vector<int> seeds[766];
  for (int v = 0; v < in.n; ++v) {
    int sum = 0;
    for (int way = 1; way < 6; way += 2) sum += in.neighbour[6LL * v + way] < 0 ? 255 : cost(v, way);
    seeds[sum].push_back(v);
  }
  int regions = 0;
  for (const auto& list : seeds)
    for (const int seed : list) {
      if (in.region[seed]) continue;
      in.region[seed] = ++regions;
      push(seed);
      for (unsigned edge; queue.pop(edge);) {
        const int v = edge / 6, way = edge % 6, w = in.neighbour[edge];
        if (in.region[w]) continue;
        const float step = way & 1 ? in.step[3LL * v + way / 2] : -in.step[3LL * w + way / 2];
        const float expected = in.growth[v] + TURN * step * in.lapse;
        in.growth[w] -= TURN * std::nearbyint((in.growth[w] - expected) / TURN);
        in.region[w] = regions;
        push(w);
      }
    }
}

// Weighted regression of one voxel's phase on the echo time, with an offset per group of echoes.
class Linear {
 public:
  explicit Linear(const JointLinearArgs& args) : in_(args), samples_(args) {}

  void run(long long first, long long last, const float* start) const {
    float weight[MAX_ECHOES], rest[MAX_ECHOES];
    for (long long v = first; v < last; ++v) {
      const float slope = samples_.slope(static_cast<int>(v), start);
      samples_.precision(static_cast<int>(v), slope, weight);
      float spread = 0, moment = 0;
      for (int g = 0; g < in_.n_group; ++g) regress(v, g, start[v], weight, rest, spread, moment);
      const float field = spread > 0 ? start[v] + moment / spread / TURN : start[v];
      in_.field[v] = field;
      const float x = slope * in_.dephased, trust = std::exp(-x * x * x * x);
      for (int g = 0; g < in_.n_group; ++g) offset(v, g, field, weight, spread, trust);
    }
  }

 private:
  static constexpr float LEAST_VARIANCE = 0.01f;  // of an offset [rad^2]: no voxel outweighs its neighbourhood
  static constexpr float LEAST_TRUST = 1e-8f;     // below it 0: averages would be made of slow denormal numbers

  // Phase left over by the start, unwrapped in time from the group's first echo; its regression on the echo time.
  void regress(long long v, int g, float start, const float* weight, float* rest, float& spread, float& moment) const {
    const float* phase = samples_.phases(static_cast<int>(v));
    float w = 0, mean_t = 0, mean_r = 0, slope = 0, base = 0, base_t = 0;
    for (int e = 0, seen = 0; e < in_.n_echo; ++e) {
      if (in_.group[e] != g) continue;
      const float r = phase[e] - TURN * in_.te[e] * start;
      if (!seen++) base = r, base_t = in_.te[e];
      const float expected = base + slope * (in_.te[e] - base_t);
      rest[e] = expected + wrapped(r - expected);
      w += weight[e];
      const float share = w > 0 ? weight[e] / w : 0.f, dt = in_.te[e] - mean_t, dr = rest[e] - mean_r;
      spread += weight[e] * (1 - share) * dt * dt;
      moment += weight[e] * (1 - share) * dt * dr;
      mean_t += share * dt;
      mean_r += share * dr;
      slope = slope_through_base(weight, rest, g, e, base, base_t);
    }
  }

  float slope_through_base(const float* weight, const float* rest, int g, int last, float base, float base_t) const {
    float moment = 0, spread = 1e-30f;
    for (int e = 0; e <= last; ++e) {
      if (in_.group[e] != g) continue;
      const float dt = in_.te[e] - base_t;
      moment += weight[e] * dt * (rest[e] - base);
      spread += weight[e] * dt * dt;
    }
    return moment / spread;
  }

  void offset(long long v, int g, float field, const float* weight, float spread, float trust) const {
    const float* phase = samples_.phases(static_cast<int>(v));
    float re = 0, im = 0, w = 0, wt = 0;
    int n = 0;
    for (int e = 0; e < in_.n_echo; ++e) {
      if (in_.group[e] != g) continue;
      ++n;
      const float angle = phase[e] - TURN * in_.te[e] * field;
      re += weight[e] * std::cos(angle);
      im += weight[e] * std::sin(angle);
      w += weight[e];
      wt += weight[e] * in_.te[e];
    }
    float* out = in_.offset + 2 * (v * in_.n_group + g);
    out[0] = out[1] = 0;
    const float length = std::hypot(re, im), mean_t = w > 0 ? wt / w : 0.f;
    if (length <= 0 || spread <= 0) return;
    // Half of chi-square is Σ w (1 - cos residual) = w - length. More of it than noise leaves tells of a slope that was
    // taken for gentle because the field is still wrong.
    const float excess = std::max(1.f, 2 * (w - length) / std::max(n - 2, 1));
    const float scale = trust / (length * (excess * excess * (1 / w + mean_t * mean_t / spread) + LEAST_VARIANCE));
    if (scale * length < LEAST_TRUST) return;
    out[0] = re * scale;
    out[1] = im * scale;
  }

  const JointLinearArgs& in_;
  const Samples samples_;
};

}  // namespace ferritin
