// Mono-exponential decay M(TE) = S0 exp(-R TE) of the magnitude, two or three unknowns.
// Meaning: monoexp.py. Launched by cpu.cpp (16 lanes) and gpu.py (one voxel a thread).
#pragma once
#include "dephasing.cuh"
#include "levenberg.cuh"

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
  const float* step;  // spacing before an echo where it is a new one, else 0
  const float* weight;
  const float* moment;
  float* s0;
  float* rate;
  float* error;
  float* floor;
  unsigned char* status;
  const float* gradient_field;
  long long n_voxel;
  int nx;
  int ny;
  int nz;
  int profile_x;
  int profile_y;
  int profile_z;
  float time_bandwidth;
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
// GRADIENT: the signal is m times the dephasing of each echo.
template <int W, int N, int MODEL, bool GRADIENT>
struct Monoexp {
  static constexpr bool FLOOR = MODEL == MONOEXP_FLOOR;
  // Amplitude at the first echo (FLOOR: its square, in which the expected M^2 is linear), in units of the largest echo;
  // rate per span of the echo times; square of the floor.
  enum Parameter { A, RATE, C };
  enum Sum { COST, G0, G1, H00, H01, H11, G2, H02, H12, H22 };
  static constexpr int P = FLOOR ? 3 : 2, K = FLOOR ? 10 : 6;

  using F = Pack<W>;

  const MonoexpArgs in;  // a copy that no store can change: what is read of it stays in registers
  float* const y;        // (n, W): magnitude over peak; then, with GRADIENT, (n, W): dephasing
  Float<W> peak, variance, used, usable, out[4];
  float weighted = 0.f;  // number of echoes that count

  FERRITIN_DEVICE Monoexp(const MonoexpArgs& args, float* scratch) : in(args), y(scratch) {
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) weighted += in.weight[e] > 0.f ? 1.f : 0.f;
  }
  FERRITIN_DEVICE int n() const { return N ? N : in.n_echo; }
  FERRITIN_DEVICE F data(int e, int k) const { return get<W>(y + e * W, k); }
  FERRITIN_DEVICE F kept(int e, int k) const {
    const F weight = every<F>(in.weight[e]);
    if constexpr (GRADIENT) return pick(data(n() + e, k) > 0.f, weight, F{});
    return weight;
  }

  // Read the magnitudes of W voxels and scale them to the largest echo.
  template <class State>
  FERRITIN_DEVICE void load(const State* states) {
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) read_magnitude<W>(in.echoes, in.complex_echoes, e * in.n_voxel, states, y + e * W);
    if constexpr (GRADIENT) dephasing<W>(in, n(), states, y + n() * W);
    FOR_PACKS {
      F odd{}, top{}, counted = every<F>(weighted);  // odd: 0, NaN where an echo is no number
      FERRITIN_UNROLL
      for (int e = 0; e < n(); ++e) {
        const F m = data(e, k);
        odd += m - m;
        top = maximum(top, m);
      }
      if constexpr (GRADIENT) {
        counted = F{};
        FERRITIN_UNROLL
        for (int e = 0; e < n(); ++e) {
          odd += data(n() + e, k) - data(n() + e, k);
          counted += pick(kept(e, k) > 0.f, every<F>(1.f), F{});
        }
      }
      const auto fits = (odd == 0.f) & (top > 1e-30f) & (counted >= static_cast<float>(P));
      const F scale = pick(fits, top, every<F>(1.f)), per_peak = 1.f / scale;
      usable.put(k, pick(fits, every<F>(1.f), F{}));
      peak.put(k, scale);
      used.put(k, counted);
      variance.put(k, (in.noise_sd * per_peak) * (in.noise_sd * per_peak));
      FERRITIN_UNROLL
      for (int e = 0; e < n(); ++e) put<W>(y + e * W, k, data(e, k) * per_peak);
    }
  }

  // C without exponentials: the integral S of z = M^2 = A^2 exp(-2 R t) + C obeys z = A^2 + C - 2 R (S - C t), a linear
  // regression (weights 1/z as the variance of M^2 wants). S is by Simpson's rule, its midpoints by the geometric mean.
  FERRITIN_DEVICE F floor_start(int k) const {
    const F first = data(0, k);
    F s{}, last = first, lowest = first * first, w0{}, ws{}, wt{}, wss{}, wst{}, wtt{}, wz{}, wsz{}, wtz{};
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e], sixth = (t - in.time[e > 0 ? e - 1 : 0]) * (1.f / 6.f);
      const F m = data(e, k), z = m * m, w = kept(e, k) / (z + 0.02f);
      s += sixth * (z + last * (4.f * m + last));
      last = m;
      lowest = minimum(lowest, z);
      const F w_s = w * s, w_t = w * t, w_z = w * z;
      w0 += w;
      ws += w_s;
      wt += w_t;
      wz += w_z;
      wss += w_s * s;
      wst += w_s * t;
      wtt += w_t * t;
      wsz += w_s * z;
      wtz += w_t * z;
    }
    const F per_w = 1.f / w0, ms = ws * per_w, mt = wt * per_w;
    const F ss = (wss - ws * ms) + 1e-6f * wss, st = wst - ws * mt, sz = wsz - ms * wz;
    const F tt = (wtt - wt * mt) + 1e-6f * wtt, tz = wtz - mt * wz;
    const F per_det = 1.f / maximum(ss * tt - st * st, 1e-6f * ss * tt);
    const F twice_rate = maximum((st * tz - tt * sz) * per_det, 0.04f);
    return clamp((ss * tz - st * sz) * per_det / twice_rate, 0.f, 0.9f * lowest);
  }

  // The weighted log-linear fit of the echoes less the noise floor.
  FERRITIN_DEVICE void log_linear(int k, F* p) const {
    F floor = 2.f * in.coils * variance.pack(k);
    if constexpr (FLOOR) floor = p[C] = floor_start(k);
    F w0{}, wt{}, wtt{}, wl{}, wtl{};
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e];
      const F m = data(e, k), square = m * m;
      const F signal = maximum(square - floor, 0.05f * square) + 1e-12f, w = kept(e, k) * signal;
      F pure = signal;
      if constexpr (GRADIENT) pure = signal / maximum(data(n() + e, k) * data(n() + e, k), 1e-3f);
      const F w_log = w * (0.5f * rough_logarithm(pure));
      w0 += w;
      wt += w * t;
      wtt += w * (t * t);
      wl += w_log;
      wtl += w_log * t;
    }
    const F slope = (w0 * wtl - wt * wl) / maximum(w0 * wtt - wt * wt, 1e-20f);
    p[RATE] = clamp(-slope, 0.f, in.max_rate * in.span);
    p[A] = exponential(clamp((wl + p[RATE] * wt) / maximum(w0, 1e-20f), -20.f, 20.f));
    if constexpr (FLOOR) p[A] *= p[A];
  }

  FERRITIN_DEVICE void start(Float<W>* at) const {
    FOR_PACKS {
      F p[P];
      log_linear(k, p);
      FERRITIN_UNROLL
      for (int i = 0; i < P; ++i) at[i].put(k, p[i]);
    }
  }

  // Expected magnitude of signal m, and its slope in m.
  FERRITIN_DEVICE F expected(F m, F s2, F& slope) const {
    if constexpr (MODEL != MONOEXP_FIRST) {
      slope = every<F>(1.f);
      return m;
    }
    const F x = m * m / s2, q = 1.f / (x + in.moment_knee), t = x * q;
    F p = every<F>(in.moment[MONOEXP_MOMENTS - 1]), dp{};
    FERRITIN_UNROLL
    for (int k = MONOEXP_MOMENTS - 2; k >= 0; --k) {
      dp = dp * t + p;
      p = p * t + in.moment[k];
    }
    const F square = m * m + s2 * p, inverse = inverse_root(square);
    slope = m * inverse * (1.f + dp * in.moment_knee * q * q);
    return square * inverse;
  }

  FERRITIN_DEVICE void evaluate(const Float<W>* at, Float<W>* sums) const {
    FOR_PACKS {
      F p[P], q[K];
      FERRITIN_UNROLL
      for (int i = 0; i < P; ++i) p[i] = at[i].pack(k);
      FERRITIN_UNROLL
      for (int i = 0; i < K; ++i) q[i] = F{};
      const F pace = p[RATE] * (FLOOR ? -2.885390082f : -1.442695041f);  // 1 / ln 2
      F decay = every<F>(1.f), shrink = decay;
      FERRITIN_UNROLL
      for (int e = 0; e < n(); ++e) {
        const float t = in.time[e];
        if (in.step[e] > 0.f) shrink = power_of_two(maximum(pace * in.step[e], -125.f));
        decay *= shrink;
        const F w = kept(e, k);
        F d = decay;
        if constexpr (GRADIENT) {
          const F f = data(n() + e, k);
          d *= FLOOR ? f * f : f;
        }
        const F m = p[A] * d;
        if constexpr (MODEL == MONOEXP_SECOND) {
          const F floor = in.coils * variance.pack(k), z = data(e, k) * data(e, k) - floor;
          const F u = m * m + floor, inverse = 1.f / u;
          const F j0 = 2.f * m * d, j1 = -2.f * t * m * m;
          const F score = w * (1.f - z * inverse), hw = w * inverse;
          q[COST] += w * (u - z * logarithm(u));
          q[G0] += score * j0;
          q[G1] += score * j1;
          q[H00] += hw * j0 * j0;
          q[H01] += hw * j0 * j1;
          q[H11] += hw * j1 * j1;
        } else if constexpr (FLOOR) {
          const F square = p[A] * d + (p[C] + 1e-14f), inverse = inverse_root(square);
          const F r = square * inverse - data(e, k), wr = w * r, score = wr * inverse, hw = w * inverse * inverse;
          const F score_d = score * d, hw_d = hw * d, hw_dd = hw_d * d, t_hw_dd = t * hw_dd;
          q[COST] += wr * r;
          q[G0] += score_d;
          q[G1] += t * score_d;
          q[G2] += score;
          q[H00] += hw_dd;
          q[H01] += t_hw_dd;
          q[H11] += t * t_hw_dd;
          q[H02] += hw_d;
          q[H12] += t * hw_d;
          q[H22] += hw;
        } else {
          F slope;
          const F r = expected(m, variance.pack(k), slope) - data(e, k);
          const F j0 = slope * d, j1 = -t * slope * m;
          const F wr = w * r, w0 = w * j0, w1 = w * j1;
          q[COST] += 0.5f * wr * r;
          q[G0] += wr * j0;
          q[G1] += wr * j1;
          q[H00] += w0 * j0;
          q[H01] += w0 * j1;
          q[H11] += w1 * j1;
        }
      }
      if constexpr (FLOOR) {
        // The slopes of sqrt(u) are half those of u over sqrt(u); that of u in the rate is -2 t A d.
        const F a = p[A];
        q[COST] = 0.5f * q[COST];
        q[G0] = 0.5f * q[G0];
        q[G1] = -a * q[G1];
        q[G2] = 0.5f * q[G2];
        q[H00] = 0.25f * q[H00];
        q[H01] = -0.5f * a * q[H01];
        q[H11] = a * a * q[H11];
        q[H02] = 0.25f * q[H02];
        q[H12] = -0.5f * a * q[H12];
        q[H22] = 0.25f * q[H22];
      }
      FERRITIN_UNROLL
      for (int i = 0; i < K; ++i) sums[i].put(k, q[i]);
    }
  }

  FERRITIN_DEVICE F solve(int, const F* p, const F* q, F damping, F* trial) const {
    const float max_rate = in.max_rate * in.span;
    const F up = 1.f + damping, g1 = q[G1], rate = p[RATE], none{};
    // A rate held at its bound by the gradient leaves the system, so that the others find their own optimum.
    const auto held = ((rate <= 0.f) & (g1 > 0.f)) | ((rate >= max_rate) & (g1 < 0.f));
    const F h00 = q[H00] * up + 1e-20f, h11 = q[H11] * up + 1e-20f;
    const F per_h00 = 1.f / h00, l10 = pick(held, none, q[H01]) * per_h00;
    const F d1 = maximum(h11 - l10 * l10 * h00, 1e-6f * h11), per_d1 = 1.f / d1;
    const F z0 = -q[G0], z1 = pick(held, none, -g1) - l10 * z0;
    F step1 = z1 * per_d1, less = z0 * z0 * per_h00 + z1 * step1, step0 = z0 * per_h00;
    if constexpr (FLOOR) {
      const F g2 = q[G2], h22 = q[H22] * up + 1e-20f;
      const auto held2 = (p[C] <= 0.f) & (g2 > 0.f);
      const F l20 = pick(held2, none, q[H02]) * per_h00;
      const F l21 = (pick(held | held2, none, q[H12]) - l20 * l10 * h00) * per_d1;
      const F d2 = maximum(h22 - l20 * l20 * h00 - l21 * l21 * d1, 1e-6f * h22);
      const F z2 = pick(held2, none, -g2) - l20 * z0 - l21 * z1, step2 = z2 / d2;
      less += z2 * step2;
      step1 -= l21 * step2;
      step0 -= l20 * step2;
      trial[C] = clamp(p[C] + step2, 0.f, 1.f);
    }
    step0 -= l10 * step1;
    trial[A] = maximum(p[A] + step0, 0.05f * p[A]);
    trial[RATE] = clamp(rate + step1, 0.f, max_rate);
    return less;
  }

  FERRITIN_DEVICE auto rests(const F* p, const F* trial, float tolerance) const {
    const F a = (FLOOR ? 0.5f : 1.f) * absolute(trial[A] - p[A]), rate = absolute(trial[RATE] - p[RATE]);
    const auto rests = (a <= tolerance * trial[A]) & (rate <= tolerance);
    if constexpr (FLOOR) return rests & (absolute(trial[C] - p[C]) <= tolerance);
    else return rests;
  }

  FERRITIN_DEVICE F spread(int k, const F* q) const {
    return MODEL == MONOEXP_SECOND ? 4.f * variance.pack(k) : maximum(variance.pack(k), q[COST]);
  }

  // Back to the units of the data; the standard error of the rate from the inverse of the Gauss-Newton matrix.
  FERRITIN_DEVICE void finish(const Float<W>* p, const Float<W>* q) {
    const float unknown = bits_to_float(0x7fc00000u);  // NaN: no echo is left over to tell the noise from
    FOR_LANES {
      float h00 = q[H00][l], h01 = q[H01][l], h11 = q[H11][l];
      if constexpr (FLOOR) {
        const float h22 = maximum(q[H22][l], 1e-20f);
        h00 -= q[H02][l] * q[H02][l] / h22;
        h01 -= q[H02][l] * q[H12][l] / h22;
        h11 -= q[H12][l] * q[H12][l] / h22;
      }
      const float known = (MODEL == MONOEXP_SECOND ? 4.f : 1.f) * variance[l], left = used[l] - P;
      const float residual = left > 0.f ? 2.f * q[COST][l] / left : unknown;
      const float spread = in.noise_sd > 0.f ? known : residual;
      const float information = maximum(h11 - h01 * h01 / maximum(h00, 1e-20f), 1e-6f * h11);
      const float error = square_root(spread / information) / in.span, rate = p[RATE][l] / in.span;
      const float amplitude = FLOOR ? square_root(p[A][l]) : p[A][l];
      const float s0 = amplitude * peak[l] * exponential(clamp(rate * in.te1, 0.f, 80.f));
      const bool fitted = usable[l] > 0.f;
      out[0][l] = fitted ? s0 : 0.f;
      out[1][l] = fitted ? rate : 0.f;
      out[2][l] = fitted ? error : 0.f;
      if constexpr (FLOOR) {
        const float floor = square_root(p[C][l]) * peak[l];
        out[3][l] = fitted ? floor : 0.f;
      }
    }
  }

  FERRITIN_DEVICE void store(long long first, const Int<W>& status) const {
    FOR_LANES in.s0[first + l] = out[0][l];
    FOR_LANES in.rate[first + l] = out[1][l];
    FOR_LANES in.error[first + l] = out[2][l];
    if (FLOOR && in.floor) FOR_LANES in.floor[first + l] = out[3][l];
    FOR_LANES in.status[first + l] = static_cast<unsigned char>(status[l]);
  }
  FERRITIN_DEVICE void store(long long i, int l, int status) const {
    in.s0[i] = out[0][l];
    in.rate[i] = out[1][l];
    in.error[i] = out[2][l];
    if (FLOOR && in.floor) in.floor[i] = out[3][l];
    in.status[i] = static_cast<unsigned char>(status);
  }
};

template <int W, int N, int MODEL, bool GRADIENT>
using MonoexpFit = Levenberg<W, Monoexp<W, N, MODEL, GRADIENT>>;

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void monoexp(ferritin::MonoexpArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel || (in.mask && !in.mask[i])) return;
  float scratch[(1 + FERRITIN_GRADIENT) * FERRITIN_ECHOES];
  ferritin::MonoexpFit<1, FERRITIN_ECHOES, FERRITIN_MODEL, FERRITIN_GRADIENT> fit(in, scratch);
  decltype(fit)::State state;
  state.voxel = i;
  fit.run(&state, 1, true, 0, &state);
}
#endif
