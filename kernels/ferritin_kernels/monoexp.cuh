// Mono-exponential decay M(TE) = S0 exp(-R TE) of the magnitude, by Levenberg-Marquardt with a 2x2 or 3x3 system.
// Meaning: monoexp.py. Launched by cpu.cpp (16 lanes) and gpu.py (one voxel a thread).
#pragma once
#include "lanes.cuh"

namespace ferritin {

// What the expected magnitude is when the signal is m, the noise sd s in the real and the imaginary part of N coils:
enum MonoexpModel {
  MONOEXP_PLAIN = 0,   // E[M] = m
  MONOEXP_SECOND = 1,  // E[M^2] = m^2 + 2 N s^2, var[M^2] = 4 s^2 (m^2 + N s^2)
  MONOEXP_FIRST = 2,   // E[M] = sqrt(m^2 + s^2 c(m^2 / s^2)), c a polynomial
  MONOEXP_FLOOR = 3,   // E[M] = sqrt(m^2 + C), C a third unknown
};
constexpr int MONOEXP_MOMENTS = 9;

struct MonoexpArgs {
  const float* echoes;
  const unsigned char* mask;
  const float* time;
  const float* weight;
  const float* moment;
  float* s0;
  float* rate;
  float* error;
  float* floor;
  unsigned char* status;
  long long n_voxel;
  int n_echo;
  int complex_echoes;
  int model;
  int max_iterations;
  float te1;
  float span;
  float noise_sd;
  float coils;
  float moment_knee;
  float max_rate;
  float tolerance;
};

FERRITIN_DEVICE float magnitude_at(const float* echoes, int is_complex, long long i) {
  if (!is_complex) return absolute(echoes[i]);
  const float re = echoes[2 * i], im = echoes[2 * i + 1];
  return square_root(re * re + im * im);
}

// N: number of echoes known to the compiler (CUDA: everything stays in registers), 0: read from the arguments.
template <int W, int N, int MODEL>
struct Monoexp {
  static constexpr bool FLOOR = MODEL == MONOEXP_FLOOR;

  // Amplitude at the first echo, in units of the largest echo; rate per span of the echo times; square of the floor.
  struct Point {
    Float<W> a, rate, c;
  };
  // Half the weighted squared error (SECOND: minus the quasi-likelihood), its gradient and Gauss-Newton matrix.
  struct Normal {
    Float<W> cost, g0, g1, g2, h00, h01, h11, h02, h12, h22;
  };

  const MonoexpArgs& in;
  float* const y;  // (n, W): magnitude over peak; SECOND: its square less N s^2
  Point now, trial;
  Normal at_now, at_trial;
  Float<W> peak, variance, damping;
  Int<W> done, usable, iterations;

  FERRITIN_DEVICE Monoexp(const MonoexpArgs& args, float* scratch) : in(args), y(scratch) {}
  FERRITIN_DEVICE int n() const { return N ? N : in.n_echo; }

  FERRITIN_DEVICE void load(const long long* voxel) {
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e)
      for (int l = 0; l < W; ++l)
        y[e * W + l] = magnitude_at(in.echoes, in.complex_echoes, e * in.n_voxel + voxel[l]);
  }

  // Scale to the largest echo, then start from the weighted log-linear fit of the echoes less the noise floor.
  FERRITIN_DEVICE void init() {
    FOR_LANES {
      peak[l] = 0.f;
      usable[l] = 1;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) FOR_LANES {
        usable[l] &= is_finite(y[e * W + l]) ? 1 : 0;
        peak[l] = maximum(peak[l], y[e * W + l]);
      }
    FOR_LANES {
      usable[l] &= (peak[l] > 1e-30f) ? 1 : 0;
      peak[l] = usable[l] ? peak[l] : 1.f;
      const float s = in.noise_sd / peak[l];
      variance[l] = s * s;
      trial.c[l] = 4.f;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) FOR_LANES {
        const float m = usable[l] ? y[e * W + l] / peak[l] : 1.f;
        y[e * W + l] = m;
        trial.c[l] = minimum(trial.c[l], m * m);
      }
    log_linear();
    if constexpr (MODEL == MONOEXP_SECOND) {
      FERRITIN_UNROLL
      for (int e = 0; e < n(); ++e)
        FOR_LANES { y[e * W + l] = y[e * W + l] * y[e * W + l] - in.coils * variance[l]; }
    }
    evaluate(now, at_now);
    FOR_LANES {
      damping[l] = 1e-3f;
      done[l] = 1 - usable[l];
      iterations[l] = 0;
    }
  }

  FERRITIN_DEVICE void log_linear() {
    Float<W> w0, wt, wtt, wl, wtl;
    FOR_LANES {
      w0[l] = wt[l] = wtt[l] = wl[l] = wtl[l] = 0.f;
      trial.c[l] = FLOOR ? 0.5f * trial.c[l] : 2.f * in.coils * variance[l];
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e], weight = in.weight[e];
      FOR_LANES {
        const float square = y[e * W + l] * y[e * W + l];
        const float signal = maximum(square - trial.c[l], 0.05f * square) + 1e-12f;
        const float w = weight * signal;
        const float half_log = 0.5f * logarithm(signal);
        w0[l] += w;
        wt[l] += w * t;
        wtt[l] += w * t * t;
        wl[l] += w * half_log;
        wtl[l] += w * t * half_log;
      }
    }
    FOR_LANES {
      const float slope = (w0[l] * wtl[l] - wt[l] * wl[l]) / maximum(w0[l] * wtt[l] - wt[l] * wt[l], 1e-20f);
      now.rate[l] = clamp(-slope, 0.f, in.max_rate * in.span);
      now.a[l] = exponential(clamp((wl[l] + now.rate[l] * wt[l]) / maximum(w0[l], 1e-20f), -20.f, 20.f));
      now.c[l] = FLOOR ? trial.c[l] : 0.f;
    }
  }

  // Expected magnitude of signal m, its slope in m and (FLOOR) in C.
  FERRITIN_DEVICE float expected(float m, float c, float s2, float& slope, float& slope_c) const {
    slope = 1.f;
    slope_c = 0.f;
    if constexpr (MODEL == MONOEXP_FIRST) {
      const float x = m * m / s2, q = 1.f / (x + in.moment_knee), t = x * q;
      float p = in.moment[MONOEXP_MOMENTS - 1], dp = 0.f;
      FERRITIN_UNROLL
      for (int k = MONOEXP_MOMENTS - 2; k >= 0; --k) {
        dp = dp * t + p;
        p = p * t + in.moment[k];
      }
      const float mu = square_root(m * m + s2 * p);
      slope = m / mu * (1.f + dp * in.moment_knee * q * q);
      return mu;
    }
    if constexpr (FLOOR) {
      const float mu = square_root(m * m + c + 1e-14f);
      slope = m / mu;
      slope_c = 0.5f / mu;
      return mu;
    }
    return m;
  }

  FERRITIN_DEVICE void evaluate(const Point& p, Normal& q) const {
    FOR_LANES {
      q.cost[l] = q.g0[l] = q.g1[l] = q.h00[l] = q.h01[l] = q.h11[l] = 0.f;
      if constexpr (FLOOR) q.g2[l] = q.h02[l] = q.h12[l] = q.h22[l] = 0.f;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e], w = in.weight[e];
      FOR_LANES {
        const float d = exponential(-p.rate[l] * t), m = p.a[l] * d;
        if constexpr (MODEL == MONOEXP_SECOND) {
          const float z = y[e * W + l], u = m * m + in.coils * variance[l], inverse = 1.f / u;
          const float j0 = 2.f * m * d, j1 = -2.f * t * m * m;
          const float score = w * (1.f - z * inverse), hw = w * inverse;
          q.cost[l] += w * (u - z * logarithm(u));
          q.g0[l] += score * j0;
          q.g1[l] += score * j1;
          q.h00[l] += hw * j0 * j0;
          q.h01[l] += hw * j0 * j1;
          q.h11[l] += hw * j1 * j1;
        } else {
          float slope, j2;
          const float r = expected(m, p.c[l], variance[l], slope, j2) - y[e * W + l];
          const float j0 = slope * d, j1 = -t * slope * m;
          const float wr = w * r, w0 = w * j0, w1 = w * j1;
          q.cost[l] += 0.5f * wr * r;
          q.g0[l] += wr * j0;
          q.g1[l] += wr * j1;
          q.h00[l] += w0 * j0;
          q.h01[l] += w0 * j1;
          q.h11[l] += w1 * j1;
          if constexpr (FLOOR) {
            q.g2[l] += wr * j2;
            q.h02[l] += w0 * j2;
            q.h12[l] += w1 * j2;
            q.h22[l] += w * j2 * j2;
          }
        }
      }
    }
  }

  // One damped step: solve, clamp, evaluate there, keep what is better. Returns how many lanes are still moving.
  FERRITIN_DEVICE int step() {
    const float max_rate = in.max_rate * in.span;
    FOR_LANES {
      const float up = 1.f + damping[l];
      // A rate held at its bound by the gradient leaves the system, so that the others find their own optimum.
      const bool held = (now.rate[l] <= 0.f && at_now.g1[l] > 0.f) || (now.rate[l] >= max_rate && at_now.g1[l] < 0.f);
      const float h00 = at_now.h00[l] * up + 1e-20f, h11 = at_now.h11[l] * up + 1e-20f;
      const float l10 = (held ? 0.f : at_now.h01[l]) / h00;
      const float d1 = maximum(h11 - l10 * l10 * h00, 1e-6f * h11);
      const float z0 = -at_now.g0[l], z1 = (held ? 0.f : -at_now.g1[l]) - l10 * z0;
      float step2 = 0.f, l20 = 0.f, l21 = 0.f;
      if constexpr (FLOOR) {
        const bool held2 = now.c[l] <= 0.f && at_now.g2[l] > 0.f;
        const float h22 = at_now.h22[l] * up + 1e-20f;
        l20 = (held2 ? 0.f : at_now.h02[l]) / h00;
        l21 = ((held || held2 ? 0.f : at_now.h12[l]) - l20 * l10 * h00) / d1;
        const float d2 = maximum(h22 - l20 * l20 * h00 - l21 * l21 * d1, 1e-6f * h22);
        step2 = ((held2 ? 0.f : -at_now.g2[l]) - l20 * z0 - l21 * z1) / d2;
      }
      const float step1 = z1 / d1 - l21 * step2;
      const float step0 = z0 / h00 - l10 * step1 - l20 * step2;
      trial.a[l] = maximum(now.a[l] + step0, 0.05f * now.a[l]);
      trial.rate[l] = clamp(now.rate[l] + step1, 0.f, max_rate);
      if constexpr (FLOOR) trial.c[l] = clamp(now.c[l] + step2, 0.f, 1.f);
    }
    evaluate(trial, at_trial);
    return accept();
  }

  FERRITIN_DEVICE int accept() {
    Int<W> take;
    FOR_LANES {
      const bool better = at_trial.cost[l] <= at_now.cost[l] + 1e-6f * absolute(at_now.cost[l]);
      const float moved = maximum(absolute(trial.a[l] - now.a[l]) / trial.a[l],
                                  maximum(absolute(trial.rate[l] - now.rate[l]),
                                          FLOOR ? absolute(trial.c[l] - now.c[l]) : 0.f));
      take[l] = (better && !done[l]) ? 1 : 0;
      iterations[l] += 1 - done[l];
      done[l] |= moved <= in.tolerance ? 1 : 0;
      damping[l] = better ? maximum(0.1f * damping[l], 1e-7f) : minimum(10.f * damping[l], 1e7f);
    }
    FOR_LANES {
      const bool t = take[l] != 0;
      now.a[l] = t ? trial.a[l] : now.a[l];
      now.rate[l] = t ? trial.rate[l] : now.rate[l];
      at_now.cost[l] = t ? at_trial.cost[l] : at_now.cost[l];
      at_now.g0[l] = t ? at_trial.g0[l] : at_now.g0[l];
      at_now.g1[l] = t ? at_trial.g1[l] : at_now.g1[l];
      at_now.h00[l] = t ? at_trial.h00[l] : at_now.h00[l];
      at_now.h01[l] = t ? at_trial.h01[l] : at_now.h01[l];
      at_now.h11[l] = t ? at_trial.h11[l] : at_now.h11[l];
      if constexpr (FLOOR) {
        now.c[l] = t ? trial.c[l] : now.c[l];
        at_now.g2[l] = t ? at_trial.g2[l] : at_now.g2[l];
        at_now.h02[l] = t ? at_trial.h02[l] : at_now.h02[l];
        at_now.h12[l] = t ? at_trial.h12[l] : at_now.h12[l];
        at_now.h22[l] = t ? at_trial.h22[l] : at_now.h22[l];
      }
    }
    int moving = 0;
    for (int l = 0; l < W; ++l) moving += 1 - done[l];
    return moving;
  }

  // Back to the units of the data; the standard error of the rate from the inverse of the Gauss-Newton matrix.
  FERRITIN_DEVICE void finish(float freedom) {
    const float unknown = bits_to_float(0x7fc00000);  // NaN: no echo is left over to tell the noise from
    const float per_cost = freedom > 0.f ? 2.f / freedom : unknown;
    FOR_LANES {
      float h00 = at_now.h00[l], h01 = at_now.h01[l], h11 = at_now.h11[l];
      if constexpr (FLOOR) {
        const float h22 = maximum(at_now.h22[l], 1e-20f);
        h00 -= at_now.h02[l] * at_now.h02[l] / h22;
        h01 -= at_now.h02[l] * at_now.h12[l] / h22;
        h11 -= at_now.h12[l] * at_now.h12[l] / h22;
      }
      const float spread = in.noise_sd > 0.f ? (MODEL == MONOEXP_SECOND ? 4.f : 1.f) * variance[l]
                                             : per_cost * at_now.cost[l];
      const float information = maximum(h11 - h01 * h01 / maximum(h00, 1e-20f), 1e-6f * h11);
      trial.c[l] = usable[l] ? square_root(spread / information) / in.span : 0.f;
      trial.rate[l] = usable[l] ? now.rate[l] / in.span : 0.f;
      trial.a[l] = usable[l] ? now.a[l] * peak[l] * exponential(now.rate[l] * in.te1 / in.span) : 0.f;
      now.c[l] = usable[l] ? square_root(now.c[l]) * peak[l] : 0.f;
      iterations[l] = usable[l] ? iterations[l] | (done[l] << 7) : 0;
    }
  }

  FERRITIN_DEVICE void store(const long long* voxel, int count) const {
    for (int l = 0; l < count; ++l) {
      const long long i = voxel[l];
      in.s0[i] = trial.a[l];
      in.rate[i] = trial.rate[l];
      in.error[i] = trial.c[l];
      in.status[i] = static_cast<unsigned char>(iterations[l]);
      if (FLOOR && in.floor) in.floor[i] = now.c[l];
    }
  }

  // Fit the voxels of one group; `voxel` has W entries, of which `count` are stored.
  FERRITIN_DEVICE void run(const long long* voxel, int count) {
    float echoes_used = 0.f;
    for (int e = 0; e < n(); ++e) echoes_used += in.weight[e] > 0.f ? 1.f : 0.f;
    load(voxel);
    init();
    for (int k = 0; k < in.max_iterations; ++k)
      if (step() == 0) break;
    finish(echoes_used - (FLOOR ? 3.f : 2.f));
    store(voxel, count);
  }
};

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
#ifndef MODEL
#define MODEL ferritin::MONOEXP_SECOND
#endif
#ifndef ECHOES
#define ECHOES 6
#endif
extern "C" __global__ void monoexp(ferritin::MonoexpArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel || (in.mask && !in.mask[i])) return;
  float scratch[ECHOES];
  ferritin::Monoexp<1, ECHOES, MODEL> fit(in, scratch);
  fit.run(&i, 1);
}
#endif
