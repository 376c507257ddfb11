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
  // Amplitude at the first echo, in units of the largest echo; rate per span of the echo times; square of the floor.
  enum Parameter { A, RATE, C };
  enum Sum { COST, G0, G1, H00, H01, H11, G2, H02, H12, H22 };
  static constexpr int P = FLOOR ? 3 : 2, K = FLOOR ? 10 : 6;

  const MonoexpArgs& in;
  float* const y;  // (n, W): magnitude over peak; then, with GRADIENT, (n, W): dephasing
  Float<W> peak, lowest, variance, used, out[4];
  Int<W> usable;

  FERRITIN_DEVICE Monoexp(const MonoexpArgs& args, float* scratch) : in(args), y(scratch) {}
  FERRITIN_DEVICE int n() const { return N ? N : in.n_echo; }
  FERRITIN_DEVICE float factor(int e, int l) const { return GRADIENT ? y[(n() + e) * W + l] : 1.f; }
  FERRITIN_DEVICE float kept(float weight, int e, int l) const { return factor(e, l) > 0.f ? weight : 0.f; }

  // Read the magnitudes of W voxels and scale them to the largest echo.
  template <class State>
  FERRITIN_DEVICE void load(const State* states) {
    Float<W> per_peak;
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) read_magnitude<W>(in.echoes, in.complex_echoes, e * in.n_voxel, states, y + e * W);
    if constexpr (GRADIENT) dephasing<W>(in, n(), states, y + n() * W);
    FOR_LANES {
      peak[l] = used[l] = 0.f;
      usable[l] = 1;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float weight = in.weight[e];
      FOR_LANES {
        usable[l] &= is_finite(y[e * W + l] + factor(e, l)) ? 1 : 0;
        used[l] += kept(weight, e, l) > 0.f ? 1.f : 0.f;
        peak[l] = maximum(peak[l], y[e * W + l]);
      }
    }
    FOR_LANES {
      usable[l] &= ((peak[l] > 1e-30f) & (used[l] >= P)) ? 1 : 0;
      peak[l] = usable[l] ? peak[l] : 1.f;
      per_peak[l] = 1.f / peak[l];
      variance[l] = in.noise_sd * in.noise_sd * per_peak[l] * per_peak[l];
      lowest[l] = 4.f;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) FOR_LANES {
        const float scaled = y[e * W + l] * per_peak[l], m = usable[l] ? scaled : 1.f;
        y[e * W + l] = m;
        lowest[l] = minimum(lowest[l], m * m);
      }
  }

  // C of z = M^2 = A^2 exp(-2 R t) + C without exponentials: its integral S obeys z = z(0) - 2 R S + 2 R C t, a linear
  // regression (S by the trapezium rule, weights 1/z as the variance of M^2 wants).
  FERRITIN_DEVICE void floor_start(Float<W>& floor) const {
    Float<W> s, last, w0, ws, wt, wss, wst, wtt, wz, wsz, wtz;
    FOR_LANES {
      s[l] = w0[l] = ws[l] = wt[l] = wss[l] = wst[l] = wtt[l] = wz[l] = wsz[l] = wtz[l] = 0.f;
      last[l] = y[l] * y[l];
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e], weight = in.weight[e], half = 0.5f * (t - in.time[e > 0 ? e - 1 : 0]);
      FOR_LANES {
        const float z = y[e * W + l] * y[e * W + l], w = kept(weight, e, l) / (z + 0.02f);
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
      floor[l] = clamp((ss * tz - st * sz) * per_det / twice_rate, 0.f, 0.9f * lowest[l]);
    }
  }

  // The weighted log-linear fit of the echoes less the noise floor.
  FERRITIN_DEVICE void start(Float<W>* p) {
    Float<W> floor;
    if constexpr (FLOOR) floor_start(floor);
    Float<W> w0, wt, wtt, wl, wtl;
    FOR_LANES {
      w0[l] = wt[l] = wtt[l] = wl[l] = wtl[l] = 0.f;
      if constexpr (!FLOOR) floor[l] = 2.f * in.coils * variance[l];
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e], weight = in.weight[e];
      FOR_LANES {
        const float f = factor(e, l), per_f2 = GRADIENT ? 1.f / maximum(f * f, 1e-3f) : 1.f;
        const float square = y[e * W + l] * y[e * W + l];
        const float signal = maximum(square - floor[l], 0.05f * square) + 1e-12f;
        const float w = kept(weight, e, l) * signal;
        const float half_log = 0.5f * logarithm(signal * per_f2);
        w0[l] += w;
        wt[l] += w * t;
        wtt[l] += w * t * t;
        wl[l] += w * half_log;
        wtl[l] += w * t * half_log;
      }
    }
    FOR_LANES {
      const float slope = (w0[l] * wtl[l] - wt[l] * wl[l]) / maximum(w0[l] * wtt[l] - wt[l] * wt[l], 1e-20f);
      p[RATE][l] = clamp(-slope, 0.f, in.max_rate * in.span);
      p[A][l] = exponential(clamp((wl[l] + p[RATE][l] * wt[l]) / maximum(w0[l], 1e-20f), -20.f, 20.f));
      if constexpr (FLOOR) p[C][l] = floor[l];
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

  FERRITIN_DEVICE void evaluate(const Float<W>* p, Float<W>* q) const {
    FERRITIN_UNROLL
    for (int k = 0; k < K; ++k) FOR_LANES q[k][l] = 0.f;
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e], weight = in.weight[e];
      FOR_LANES {
        const float w = kept(weight, e, l), d = exponential(-p[RATE][l] * t) * factor(e, l), m = p[A][l] * d;
        if constexpr (MODEL == MONOEXP_SECOND) {
          const float floor = in.coils * variance[l], z = y[e * W + l] * y[e * W + l] - floor;
          const float u = m * m + floor, inverse = 1.f / u;
          const float j0 = 2.f * m * d, j1 = -2.f * t * m * m;
          const float score = w * (1.f - z * inverse), hw = w * inverse;
          q[COST][l] += w * (u - z * logarithm(u));
          q[G0][l] += score * j0;
          q[G1][l] += score * j1;
          q[H00][l] += hw * j0 * j0;
          q[H01][l] += hw * j0 * j1;
          q[H11][l] += hw * j1 * j1;
        } else {
          float slope, j2;
          const float r = expected(m, FLOOR ? p[C][l] : 0.f, variance[l], slope, j2) - y[e * W + l];
          const float j0 = slope * d, j1 = -t * slope * m;
          const float wr = w * r, w0 = w * j0, w1 = w * j1;
          q[COST][l] += 0.5f * wr * r;
          q[G0][l] += wr * j0;
          q[G1][l] += wr * j1;
          q[H00][l] += w0 * j0;
          q[H01][l] += w0 * j1;
          q[H11][l] += w1 * j1;
          if constexpr (FLOOR) {
            q[G2][l] += wr * j2;
            q[H02][l] += w0 * j2;
            q[H12][l] += w1 * j2;
            q[H22][l] += w * j2 * j2;
          }
        }
      }
    }
  }

  FERRITIN_DEVICE void solve(const Float<W>* p, const Float<W>* q, const Float<W>& damping, Float<W>* trial,
                             Float<W>& decrement) const {
    const float max_rate = in.max_rate * in.span;
    FOR_LANES {
      const float up = 1.f + damping[l], g0 = q[G0][l], g1 = q[G1][l], h01 = q[H01][l];
      const float rate = p[RATE][l];
      // A rate held at its bound by the gradient leaves the system, so that the others find their own optimum.
      const bool held = ((rate <= 0.f) & (g1 > 0.f)) | ((rate >= max_rate) & (g1 < 0.f));
      const float h00 = q[H00][l] * up + 1e-20f, h11 = q[H11][l] * up + 1e-20f;
      const float per_h00 = 1.f / h00, l10 = (held ? 0.f : h01) * per_h00;
      const float d1 = maximum(h11 - l10 * l10 * h00, 1e-6f * h11);
      const float z0 = -g0, z1 = (held ? 0.f : -g1) - l10 * z0;
      const float per_d1 = 1.f / d1;
      float step2 = 0.f, l20 = 0.f, l21 = 0.f;
      decrement[l] = z0 * z0 * per_h00 + z1 * z1 * per_d1;
      if constexpr (FLOOR) {
        const float g2 = q[G2][l], h02 = q[H02][l], h12 = q[H12][l];
        const bool held2 = (p[C][l] <= 0.f) & (g2 > 0.f);
        const float h22 = q[H22][l] * up + 1e-20f;
        l20 = (held2 ? 0.f : h02) * per_h00;
        l21 = ((held | held2 ? 0.f : h12) - l20 * l10 * h00) * per_d1;
        const float d2 = maximum(h22 - l20 * l20 * h00 - l21 * l21 * d1, 1e-6f * h22);
        const float z2 = (held2 ? 0.f : -g2) - l20 * z0 - l21 * z1;
        step2 = z2 / d2;
        decrement[l] += z2 * step2;
      }
      const float step1 = z1 * per_d1 - l21 * step2;
      const float step0 = z0 * per_h00 - l10 * step1 - l20 * step2;
      trial[A][l] = maximum(p[A][l] + step0, 0.05f * p[A][l]);
      trial[RATE][l] = clamp(rate + step1, 0.f, max_rate);
      if constexpr (FLOOR) trial[C][l] = clamp(p[C][l] + step2, 0.f, 1.f);
    }
  }

  FERRITIN_DEVICE float moved(int l, const Float<W>* p, const Float<W>* trial) const {
    const float a = absolute(trial[A][l] - p[A][l]) / trial[A][l], rate = absolute(trial[RATE][l] - p[RATE][l]);
    return maximum(maximum(a, rate), FLOOR ? absolute(trial[P - 1][l] - p[P - 1][l]) : 0.f);
  }

  FERRITIN_DEVICE float spread(int l, const Float<W>* q) const {
    return MODEL == MONOEXP_SECOND ? 4.f * variance[l] : maximum(variance[l], q[COST][l]);
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
      const float s0 = p[A][l] * peak[l] * exponential(clamp(rate * in.te1, 0.f, 80.f));
      const bool fitted = usable[l] != 0;
      out[0][l] = fitted ? s0 : 0.f;
      out[1][l] = fitted ? rate : 0.f;
      out[2][l] = fitted ? error : 0.f;
      if constexpr (FLOOR) {
        const float floor = square_root(p[C][l]) * peak[l];
        out[3][l] = fitted ? floor : 0.f;
      }
    }
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
