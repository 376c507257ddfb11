// Samples of the joint estimator: phase and power of the mask's voxels, and how far each phase can be trusted.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "joint.hpp"

namespace ferritin {

inline float square(float x) { return x * x; }
inline float wrapped(float x) { return x - TURN * std::nearbyint(x * (1 / TURN)); }

// Phase sd [rad] of a noiseless voxel over which the field varies by x cycles until the echo: what partial volume and
// ringing leave at x = 0, a part that grows with the gradient, and the breakdown when the voxel dephases. Measured on
// simulated heads: 0.03 at 0, 0.12 at 0.3, 0.35 at 0.5, random from 1 on.
inline float breakdown(float x) {
  const float y = std::min(x, 2.f);
  return 2.5f * y * y * y * y;
}
inline float model_sd(float x) { return 0.03f + 0.3f * std::min(x, 2.f) + breakdown(x); }

struct Samples {
  const float* phase;
  const float* power;
  const int* neighbour;
  const float* te;
  int n_echo;
  float noise_sd;

  template <class Args>
  explicit Samples(const Args& in)
      : phase(in.phase), power(in.power), neighbour(in.neighbour), te(in.te), n_echo(in.n_echo), noise_sd(in.noise_sd) {}

  const float* phases(int v) const { return phase + static_cast<long long>(v) * n_echo; }
  int next(int v, int way) const { return neighbour[6LL * v + way]; }

  // 1 / variance of each echo's phase in a voxel where the field changes by `slope` [Hz] from voxel to voxel.
  void precision(int v, float slope, float* out) const {
    const float* p = power + static_cast<long long>(v) * n_echo;
    const float noise = noise_sd * noise_sd;
    for (int e = 0; e < n_echo; ++e) {
      const float signal = std::max(p[e] - 2 * noise, 0.f), sd = model_sd(slope * te[e]);
      out[e] = signal / (noise + signal * sd * sd + 1e-30f);
    }
  }

  // Variance [Hz^2] of the weighted least-squares field: noise, and what structure inside the voxel does to the phase.
  // That error grows with TE and with the gradient, and echoes share it: it starts as one with the offset's and wanders
  // from echo to echo, forgetting its past as the gradient moves the voxel's window through k-space. Constants measured
  // on simulated heads at 3 T and 7 T, with 2 to 5 echoes.
  float field_variance(int v, float slope, const float* weight, float hz_per_ppm) const {
    constexpr float OFFSET = 1e-4f;     // [rad^2]
    constexpr float GROWTH = 0.02f;     // [rad^2] for each cycle over a voxel
    constexpr float WINDOW = 0.05f;     // [cycle / voxel]
    constexpr float TEXTURE = 0.00125f; // [ppm]: field of the fine structure in a voxel
    constexpr float RIM = 0.0045f;      // [rad^2 / (s Hz / ppm)]: signal that reaches in from outside the mask
    constexpr float STEEP = 0.3f;       // [rad] of the offset, where the second echo varies by one cycle over a voxel
    const float* p = power + static_cast<long long>(v) * n_echo;
    const float noise = noise_sd * noise_sd, texture = TURN * TEXTURE * hz_per_ppm;
    bool at_rim = false;
    for (int way = 0; way < 6; ++way) at_rim |= next(v, way) < 0;
    const float growth = GROWTH * slope + (at_rim ? RIM * hz_per_ppm : 0.f);
    float information = 0, sum = 0, held = 0;
    for (int e = 0; e < n_echo; ++e) {
      information += weight[e] * te[e] * te[e];
      held += weight[e] * te[e];
    }
    held *= STEEP * square(std::min(slope * te[1], 1.f));  // what the offset got from second echoes that had dephased
    for (int e = 0; e < n_echo; ++e) {
      const float x = slope * te[e], lost = breakdown(x), a = weight[e] * te[e];
      const float own = growth * te[e] + square(texture * te[e]) + OFFSET;
      sum += square(a) * (noise / std::max(p[e] - 2 * noise, 0.25f * noise + 1e-30f) + own + square(lost));
      for (int k = 0; k < e; ++k) {
        const float away = (te[e] - te[k]) * slope / WINDOW, still = (growth * te[k] + OFFSET) / (1 + square(away));
        sum += 2 * a * weight[k] * te[k] * (still + square(texture * te[k]));
      }
    }
    return information > 0 ? (sum + square(held)) / information / information / (TURN * TURN) : 0.f;
  }

  // Length of the field's gradient [Hz per voxel], the larger difference on each axis; other(v, w) gives f[w] - f[v].
  float slope(int v, const float* field) const {
    float sum = 0;
    for (int axis = 0; axis < 3; ++axis) {
      float most = 0;
      for (int way = 2 * axis; way < 2 * axis + 2; ++way)
        if (const int w = next(v, way); w >= 0) most = std::max(most, std::fabs(field[w] - field[v]));
      sum += most * most;
    }
    return std::sqrt(sum);
  }
};

// A field without offset, refined echo by echo from a start of variance 1/certainty: each echo takes the wrap nearest to
// what the echoes before it predict.
inline float follow_echoes(const Samples& in, const float* phase, const float* weight, float field, float certainty,
                           int first) {
  for (int e = first; e < in.n_echo; ++e) {
    const float turns = TURN * in.te[e], w = weight[e] * turns * turns;
    certainty += w;
    field += w / certainty * wrapped(phase[e] - turns * field) / turns;
  }
  return field;
}

// One weighted least-squares step with the wraps that the field itself gives; information: Σ w (2 pi TE)^2.
inline float least_squares(const Samples& in, const float* phase, const float* weight, float field, float* information) {
  float sum = 0, moment = 0;
  for (int e = 0; e < in.n_echo; ++e) {
    const float turns = TURN * in.te[e];
    sum += weight[e] * turns * turns;
    moment += weight[e] * turns * wrapped(phase[e] - turns * field);
  }
  *information = sum;
  return sum > 0 ? field + moment / sum : field;
}

// What the field leaves unexplained: Σ w (1 - cos residual), half a chi-square for small residuals.
inline float misfit(const Samples& in, const float* phase, const float* weight, float field) {
  float sum = 0;
  for (int e = 0; e < in.n_echo; ++e) sum += weight[e] * (1 - std::cos(phase[e] - TURN * in.te[e] * field));
  return sum;
}

}  // namespace ferritin
