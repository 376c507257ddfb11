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

// N: number of echoes known to the compiler (CUDA: everything stays in registers), 0: read from the arguments.
template <int W, int N, int MODEL>
struct Monoexp {
  static constexpr bool FLOOR = MODEL == MONOEXP_FLOOR;

  // Amplitude at the first echo, in units of the largest echo; rate per span of the echo times; square of the floor.
  struct Point {
    Float<W> a, rate, c;
  };
  // A voxel between two runs: where it stands and how far it has come (iterations 0: not begun).
  struct State {
    long long voxel;
    float a, rate, c, damping, last;
    int iterations;
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
  Float<W> decrement, last;  // what this step, and the one taken before it, should take off twice the cost
  Int<W> moving, converged, usable, iterations;

  FERRITIN_DEVICE Monoexp(const MonoexpArgs& args, float* scratch) : in(args), y(scratch) {}
  FERRITIN_DEVICE int n() const { return N ? N : in.n_echo; }

  // Read the magnitudes of W voxels and scale them to the largest echo.
  FERRITIN_DEVICE void load(const State* states) {
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) read_magnitudes<W>(in.echoes, in.complex_echoes, e * in.n_voxel, states, y + e * W);
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
      trial.a[l] = 1.f / peak[l];
      variance[l] = in.noise_sd * in.noise_sd * trial.a[l] * trial.a[l];
      trial.c[l] = 4.f;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) FOR_LANES {
        const float scaled = y[e * W + l] * trial.a[l], m = usable[l] ? scaled : 1.f;
        y[e * W + l] = m;
        trial.c[l] = minimum(trial.c[l], m * m);
      }
  }

  // Start from the weighted log-linear fit of the echoes less the noise floor, or from where the last run ended.
  FERRITIN_DEVICE void init(const State* states, bool fresh) {
    if (fresh) log_linear();
    for (int l = 0; l < W; ++l) {
      if (!fresh) {
        now.a[l] = states[l].a;
        now.rate[l] = states[l].rate;
        now.c[l] = states[l].c;
      }
      damping[l] = fresh ? 1e-3f : states[l].damping;
      last[l] = fresh ? 0.f : states[l].last;
      iterations[l] = states[l].iterations;
      moving[l] = usable[l];
      converged[l] = 0;
    }
    if constexpr (MODEL == MONOEXP_SECOND) {
      FERRITIN_UNROLL
      for (int e = 0; e < n(); ++e)
        FOR_LANES { y[e * W + l] = y[e * W + l] * y[e * W + l] - in.coils * variance[l]; }
    }
    evaluate(now, at_now);
  }

  // C of z = M^2 = A^2 exp(-2 R t) + C without exponentials: its integral S obeys z = z(0) - 2 R S + 2 R C t, a linear
  // regression (S by the trapezium rule, weights 1/z as the variance of M^2 wants). Into trial.c.
  FERRITIN_DEVICE void floor_start() {
    Float<W> s, last, w0, ws, wt, wss, wst, wtt, wz, wsz, wtz;
    FOR_LANES {
      s[l] = w0[l] = ws[l] = wt[l] = wss[l] = wst[l] = wtt[l] = wz[l] = wsz[l] = wtz[l] = 0.f;
      last[l] = y[l] * y[l];
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e], weight = in.weight[e], half = 0.5f * (t - in.time[e > 0 ? e - 1 : 0]);
      FOR_LANES {
        const float z = y[e * W + l] * y[e * W + l], w = weight / (z + 0.02f);
        const float sum = s[l] + half * (z + last[l]);
        s[l] = sum;
        last[l] = z;
        w0[l] += w;
        ws[l] += w * sum;
        wt[l] += w * t;
        wss[l] += w * sum * sum;
        wst[l] += w * sum * t;
        wtt[l] += w * t * t;
        wz[l] += w * z;
        wsz[l] += w * sum * z;
        wtz[l] += w * t * z;
      }
    }
    FOR_LANES {
      const float per_w = 1.f / w0[l], ms = ws[l] * per_w, mt = wt[l] * per_w;
      const float ss = (wss[l] - ws[l] * ms) + 1e-6f * wss[l], st = wst[l] - ws[l] * mt;
      const float tt = (wtt[l] - wt[l] * mt) + 1e-6f * wtt[l], sz = wsz[l] - ms * wz[l], tz = wtz[l] - mt * wz[l];
      const float per_det = 1.f / maximum(ss * tt - st * st, 1e-6f * ss * tt);
      const float twice_rate = maximum((st * tz - tt * sz) * per_det, 0.04f);
      trial.c[l] = clamp((ss * tz - st * sz) * per_det / twice_rate, 0.f, 0.9f * trial.c[l]);
    }
  }

  FERRITIN_DEVICE void log_linear() {
    if constexpr (FLOOR) floor_start();
    Float<W> w0, wt, wtt, wl, wtl;
    FOR_LANES {
      w0[l] = wt[l] = wtt[l] = wl[l] = wtl[l] = 0.f;
      if constexpr (!FLOOR) trial.c[l] = 2.f * in.coils * variance[l];
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
      const float square = m * m + s2 * p, inverse = inverse_root(square), mu = square * inverse;
      slope = m * inverse * (1.f + dp * in.moment_knee * q * q);
      return mu;
    }
    if constexpr (FLOOR) {
      const float square = m * m + c + 1e-14f, inverse = inverse_root(square);
      slope = m * inverse;
      slope_c = 0.5f * inverse;
      return square * inverse;
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

  // One damped step: solve, evaluate there, keep what is better. Returns how many lanes are still moving.
  FERRITIN_DEVICE int step() {
    solve();
    if (settle() == 0) return 0;
    evaluate(trial, at_trial);
    return accept();
  }

  FERRITIN_DEVICE void solve() {
    const float max_rate = in.max_rate * in.span;
    FOR_LANES {
      const float up = 1.f + damping[l], g0 = at_now.g0[l], g1 = at_now.g1[l], h01 = at_now.h01[l];
      const float rate = now.rate[l];
      // A rate held at its bound by the gradient leaves the system, so that the others find their own optimum.
      const bool held = ((rate <= 0.f) & (g1 > 0.f)) | ((rate >= max_rate) & (g1 < 0.f));
      const float h00 = at_now.h00[l] * up + 1e-20f, h11 = at_now.h11[l] * up + 1e-20f;
      const float per_h00 = 1.f / h00, l10 = (held ? 0.f : h01) * per_h00;
      const float d1 = maximum(h11 - l10 * l10 * h00, 1e-6f * h11);
      const float z0 = -g0, z1 = (held ? 0.f : -g1) - l10 * z0;
      const float per_d1 = 1.f / d1;
      float step2 = 0.f, l20 = 0.f, l21 = 0.f;
      decrement[l] = z0 * z0 * per_h00 + z1 * z1 * per_d1;
      if constexpr (FLOOR) {
        const float g2 = at_now.g2[l], h02 = at_now.h02[l], h12 = at_now.h12[l];
        const bool held2 = (now.c[l] <= 0.f) & (g2 > 0.f);
        const float h22 = at_now.h22[l] * up + 1e-20f;
        l20 = (held2 ? 0.f : h02) * per_h00;
        l21 = ((held | held2 ? 0.f : h12) - l20 * l10 * h00) * per_d1;
        const float d2 = maximum(h22 - l20 * l20 * h00 - l21 * l21 * d1, 1e-6f * h22);
        const float z2 = (held2 ? 0.f : -g2) - l20 * z0 - l21 * z1;
        step2 = z2 / d2;
        decrement[l] += z2 * step2;
      }
      const float step1 = z1 * per_d1 - l21 * step2;
      const float step0 = z0 * per_h00 - l10 * step1 - l20 * step2;
      trial.a[l] = maximum(now.a[l] + step0, 0.05f * now.a[l]);
      trial.rate[l] = clamp(rate + step1, 0.f, max_rate);
      if constexpr (FLOOR) trial.c[l] = clamp(now.c[l] + step2, 0.f, 1.f);
    }
  }

  // Lanes whose step, or the one to follow it at the pace of the last two, is too small to matter take it and are done.
  // Returns how many others are moving.
  FERRITIN_DEVICE int settle() {
    FOR_LANES {
      const float moved = maximum(absolute(trial.a[l] - now.a[l]) / trial.a[l],
                                  maximum(absolute(trial.rate[l] - now.rate[l]),
                                          FLOOR ? absolute(trial.c[l] - now.c[l]) : 0.f));
      const float spread = MODEL == MONOEXP_SECOND ? 4.f * variance[l] : maximum(variance[l], at_now.cost[l]);
      const float little = 100.f * in.tolerance * in.tolerance * spread, d = decrement[l];
      const bool next = (d * d <= little * last[l]) & (d <= 0.1f * last[l]);
      const bool near = (moved <= in.tolerance) | (d <= little) | next;
      const int was = moving[l], ends = near & (damping[l] < 1.f) ? was : 0;
      const float a = ends ? trial.a[l] : now.a[l], rate = ends ? trial.rate[l] : now.rate[l];
      now.a[l] = a;
      now.rate[l] = rate;
      if constexpr (FLOOR) {
        const float c = ends ? trial.c[l] : now.c[l];
        now.c[l] = c;
      }
      iterations[l] += was;
      converged[l] |= ends;
      moving[l] = was - ends;
    }
    return count_moving();
  }

  FERRITIN_DEVICE int count_moving() const {
    int sum = 0;
    for (int l = 0; l < W; ++l) sum += moving[l];
    return sum;
  }

  FERRITIN_DEVICE int accept() {
    Int<W> take;
    FOR_LANES {
      const bool better = at_trial.cost[l] <= at_now.cost[l] + 1e-6f * absolute(at_now.cost[l]);
      const int was = moving[l];
      take[l] = better ? was : 0;
      last[l] = better ? decrement[l] : last[l];
      moving[l] = iterations[l] < in.max_iterations ? was : 0;
      damping[l] = better ? maximum(0.25f * damping[l], 1e-7f) : minimum(4.f * damping[l], 1e7f);
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
    return count_moving();
  }

  // Back to the units of the data; the standard error of the rate from the inverse of the Gauss-Newton matrix.
  FERRITIN_DEVICE void finish(float freedom) {
    const float unknown = bits_to_float(0x7fc00000u);  // NaN: no echo is left over to tell the noise from
    const float per_cost = freedom > 0.f ? 2.f / freedom : unknown;
    FOR_LANES {
      float h00 = at_now.h00[l], h01 = at_now.h01[l], h11 = at_now.h11[l];
      if constexpr (FLOOR) {
        const float h22 = maximum(at_now.h22[l], 1e-20f);
        h00 -= at_now.h02[l] * at_now.h02[l] / h22;
        h01 -= at_now.h02[l] * at_now.h12[l] / h22;
        h11 -= at_now.h12[l] * at_now.h12[l] / h22;
      }
      const float known = (MODEL == MONOEXP_SECOND ? 4.f : 1.f) * variance[l], residual = per_cost * at_now.cost[l];
      const float spread = in.noise_sd > 0.f ? known : residual;
      const float information = maximum(h11 - h01 * h01 / maximum(h00, 1e-20f), 1e-6f * h11);
      const float error = square_root(spread / information) / in.span, rate = now.rate[l] / in.span;
      const float s0 = now.a[l] * peak[l] * exponential(clamp(rate * in.te1, 0.f, 80.f)), floor = square_root(now.c[l]) * peak[l];
      const int status = iterations[l] | (converged[l] << 7);
      const bool fitted = usable[l] != 0;
      trial.c[l] = fitted ? error : 0.f;
      trial.rate[l] = fitted ? rate : 0.f;
      trial.a[l] = fitted ? s0 : 0.f;
      now.c[l] = fitted ? floor : 0.f;
      iterations[l] = fitted ? status : 0;
    }
  }

  FERRITIN_DEVICE void store(long long i, int l) const {
    in.s0[i] = trial.a[l];
    in.rate[i] = trial.rate[l];
    in.error[i] = trial.c[l];
    in.status[i] = static_cast<unsigned char>(iterations[l]);
    if (FLOOR && in.floor) in.floor[i] = now.c[l];
  }

  // Advance the first `count` of W voxels until no more than `few` still move. Those that end are stored; the others
  // are left, in order, in `left` (which may be `states`). Returns their number. fresh: none of them has begun.
  FERRITIN_DEVICE int run(const State* states, int count, bool fresh, int few, State* left) {
    load(states);
    init(states, fresh);
    while (step() > few) {
    }
    int unfinished = 0;
    State waiting[W];
    for (int l = 0; l < count; ++l)
      if (moving[l]) waiting[unfinished++] = {states[l].voxel, now.a[l], now.rate[l], now.c[l], damping[l], last[l], iterations[l]};
    float used = 0.f;
    for (int e = 0; e < n(); ++e) used += in.weight[e] > 0.f ? 1.f : 0.f;
    finish(used - (FLOOR ? 3.f : 2.f));
    for (int l = 0; l < count; ++l)
      if (!moving[l]) store(states[l].voxel, l);
    for (int l = 0; l < unfinished; ++l) left[l] = waiting[l];
    return unfinished;
  }
};

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void monoexp(ferritin::MonoexpArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel || (in.mask && !in.mask[i])) return;
  float scratch[FERRITIN_ECHOES];
  ferritin::Monoexp<1, FERRITIN_ECHOES, FERRITIN_MODEL> fit(in, scratch);
  decltype(fit)::State state = {i, 0.f, 0.f, 0.f, 0.f, 0.f, 0};
  fit.run(&state, 1, true, 0, &state);
}
#endif
