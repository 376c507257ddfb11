// Complex decay S(TE) = S0 exp(-R TE) exp(i (offset + 2 pi f TE + p_e bipolar)), p_e = +-1 the readout's polarity.
// Meaning: meaning/complexfit.py. Launched by cpu.cpp (16 lanes) and gpu.py (one voxel a thread).
//
// In relative amplitude, rate, phase and frequency the Gauss-Newton matrix falls apart into two blocks, one for the
// magnitude and one for the phase, and both are made of the same sums of |S|^2, |S|^2 t and |S|^2 t^2.
#pragma once
#include "dephasing.cuh"
#include "levenberg.cuh"

namespace ferritin {

struct ComplexfitArgs {
  const float* echoes;
  const float* unwrapped;
  const unsigned char* mask;
  const float* time;
  const float* weight;
  const float* polarity;
  float* s0;
  float* rate;
  float* rate_error;
  float* field;
  float* field_error;
  float* offset;
  float* bipolar;
  float* residual;
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
  int max_iterations;
  float te1;
  float span;
  float noise_sd;
  float max_rate;
  float tolerance;
};

// N: number of echoes known to the compiler (CUDA), 0: read from the arguments. BIPOLAR: fit that term too.
// GRADIENT: the signal is the model times the dephasing of each echo.
template <int W, int N, bool BIPOLAR, bool GRADIENT>
struct Complexfit {
  // Amplitude at the first echo in units of the largest; rate per span of the echo times; phase at the first echo,
  // frequency and bipolar phase in turns (per span).
  enum Parameter { A, RATE, PHASE, FREQUENCY, ODD };
  // Q: sums of |m|^2 times 1, t, t^2, p, p t.
  enum Sum { COST, GA, GR, GP, GF, Q0, Q1, Q2, GO, QP, QPT };
  static constexpr int P = BIPOLAR ? 5 : 4, K = BIPOLAR ? 11 : 8;

  using F = Pack<W>;

  const ComplexfitArgs in;  // a copy that no store can change: what is read of it stays in registers
  float* const y;  // (2 n, W): real parts over peak, then imaginary parts; then, with GRADIENT, (n, W): dephasing
  Float<W> peak, variance, used, energy, start_phase, start_frequency, out[8];
  Int<W> usable;

  FERRITIN_DEVICE Complexfit(const ComplexfitArgs& args, float* scratch) : in(args), y(scratch) {}
  FERRITIN_DEVICE int n() const { return N ? N : in.n_echo; }
  FERRITIN_DEVICE float* real(int e) const { return y + e * W; }
  FERRITIN_DEVICE float* imag(int e) const { return y + (n() + e) * W; }
  FERRITIN_DEVICE float factor(int e, int l) const { return GRADIENT ? y[(2 * n() + e) * W + l] : 1.f; }
  FERRITIN_DEVICE float kept(float weight, int e, int l) const { return factor(e, l) > 0.f ? weight : 0.f; }

  template <class State>
  FERRITIN_DEVICE void load(const State* states) {
    Float<W> per_peak;
    if constexpr (GRADIENT) dephasing<W>(in, n(), states, y + 2 * n() * W);
    FOR_LANES {
      peak[l] = energy[l] = used[l] = 0.f;
      usable[l] = 1;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float weight = in.weight[e];
      float *re = real(e), *im = imag(e);
      read_complex<W>(in.echoes, e * in.n_voxel, states, re, im);
      FOR_LANES {
        const float square = re[l] * re[l] + im[l] * im[l];
        usable[l] &= is_finite(square + factor(e, l)) ? 1 : 0;
        used[l] += kept(weight, e, l) > 0.f ? 2.f : 0.f;
        peak[l] = maximum(peak[l], square);
      }
    }
    FOR_LANES {
      usable[l] &= ((peak[l] > 1e-30f) & (used[l] >= P)) ? 1 : 0;
      peak[l] = usable[l] ? square_root(peak[l]) : 1.f;
      per_peak[l] = 1.f / peak[l];
      variance[l] = in.noise_sd * in.noise_sd * per_peak[l] * per_peak[l];
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float weight = in.weight[e];
      float *re = real(e), *im = imag(e);
      FOR_LANES {
        const float a = re[l] * per_peak[l], b = im[l] * per_peak[l];
        re[l] = usable[l] ? a : 1.f;
        im[l] = usable[l] ? b : 0.f;
        energy[l] += kept(weight, e, l) * (re[l] * re[l] + im[l] * im[l]);
      }
    }
    phase_line(states);
  }

  // Weighted line through the unwrapped phase, given or unwrapped in time by the growth between the first two echoes.
  template <class State>
  FERRITIN_DEVICE void phase_line(const State* states) {
    Float<W> w0, wt, wtt, wp, wtp, before, pace;
    FOR_LANES w0[l] = wt[l] = wtt[l] = wp[l] = wtp[l] = before[l] = pace[l] = 0.f;
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e], weight = in.weight[e], step = t - in.time[e > 0 ? e - 1 : 0];
      const float *re = real(e), *im = imag(e);
      Float<W> turns;
      if (in.unwrapped) {
        for (int l = 0; l < W; ++l) turns[l] = PER_TURN * in.unwrapped[e * in.n_voxel + states[l].voxel];
      } else {
        FOR_LANES {
          const float expected = before[l] + pace[l] * step, measured = angle(im[l], re[l]);
          turns[l] = measured - nearest(measured - expected);
        }
        if (e == 1) FOR_LANES pace[l] = (turns[l] - before[l]) / step;
      }
      FOR_LANES {
        usable[l] &= is_finite(turns[l]) ? 1 : 0;
        const float w = kept(weight, e, l) * (re[l] * re[l] + im[l] * im[l]), phase = usable[l] ? turns[l] : 0.f;
        before[l] = phase;
        w0[l] += w;
        wt[l] += w * t;
        wtt[l] += w * t * t;
        wp[l] += w * phase;
        wtp[l] += w * t * phase;
      }
    }
    FOR_LANES {
      const float per_w0 = 1.f / maximum(w0[l], 1e-20f);
      const float slope = (wtp[l] - wt[l] * wp[l] * per_w0) / maximum(wtt[l] - wt[l] * wt[l] * per_w0, 1e-12f);
      start_frequency[l] = slope;
      start_phase[l] = (wp[l] - slope * wt[l]) * per_w0;
    }
  }

  FERRITIN_DEVICE void start(Float<W>* p) {
    Float<W> w0, wt, wtt, wl, wtl;
    FOR_LANES w0[l] = wt[l] = wtt[l] = wl[l] = wtl[l] = 0.f;
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e], weight = in.weight[e];
      const float *re = real(e), *im = imag(e);
      FOR_LANES {
        const float f = factor(e, l), per_f2 = GRADIENT ? 1.f / maximum(f * f, 1e-3f) : 1.f;
        const float square = re[l] * re[l] + im[l] * im[l] + 1e-12f;
        const float w = kept(weight, e, l) * square, half_log = 0.5f * logarithm(square * per_f2);
        w0[l] += w;
        wt[l] += w * t;
        wtt[l] += w * t * t;
        wl[l] += w * half_log;
        wtl[l] += w * t * half_log;
      }
    }
    FOR_LANES {
      const float slope = (w0[l] * wtl[l] - wt[l] * wl[l]) / maximum(w0[l] * wtt[l] - wt[l] * wt[l], 1e-20f);
      const float rate = clamp(-slope, 0.f, in.max_rate * in.span);
      p[RATE][l] = rate;
      p[A][l] = exponential(clamp((wl[l] + rate * wt[l]) / maximum(w0[l], 1e-20f), -20.f, 20.f));
      p[PHASE][l] = start_phase[l];
      p[FREQUENCY][l] = start_frequency[l];
      if constexpr (BIPOLAR) p[ODD][l] = 0.f;
    }
  }

  FERRITIN_DEVICE void evaluate(const Float<W>* at, Float<W>* sums) const {
    FOR_PACKS {
      F p[P], q[K];
      FERRITIN_UNROLL
      for (int i = 0; i < P; ++i) p[i] = at[i].pack(k);
      FERRITIN_UNROLL
      for (int i = 0; i < K; ++i) q[i] = F{};
      FERRITIN_UNROLL
      for (int e = 0; e < n(); ++e) {
        const float t = in.time[e], sign = BIPOLAR ? in.polarity[e] : 0.f;
        F s, c, turns = p[PHASE] + p[FREQUENCY] * t, w = every<F>(in.weight[e]), m = p[A] * exponential(p[RATE] * -t);
        if constexpr (BIPOLAR) turns += sign * p[P - 1];
        if constexpr (GRADIENT) {
          const F f = get<W>(y + (2 * n() + e) * W, k);
          w = pick(f > 0.f, w, F{});
          m *= f;
        }
        sine_cosine(turns, s, c);
        // The data in the frame that turns with the model: the model is m there, the residual m - along - i across.
        const F re = get<W>(real(e), k), im = get<W>(imag(e), k);
        const F along = re * c + im * s, across = im * c - re * s;
        const F r = m - along, wm = w * m, power = wm * m, pull = wm * r, turn = wm * across;
        q[COST] += w * (r * r + across * across);
        q[GA] += pull;
        q[GR] -= t * pull;
        q[GP] -= turn;
        q[GF] -= t * turn;
        q[Q0] += power;
        q[Q1] += t * power;
        q[Q2] += t * (t * power);
        if constexpr (BIPOLAR) {
          q[K - 3] -= sign * turn;
          q[K - 2] += sign * power;
          q[K - 1] += t * (sign * power);
        }
      }
      q[COST] *= 0.5f;
      FERRITIN_UNROLL
      for (int i = 0; i < K; ++i) sums[i].put(k, q[i]);
    }
  }

  FERRITIN_DEVICE F solve(int, const F* p, const F* q, F damping, F* trial) const {
    const float max_rate = in.max_rate * in.span;
    const F up = 1.f + damping, a = p[A], rate = p[RATE], gr = q[GR], q1 = q[Q1];
    const auto held = ((rate <= 0.f) & (gr > 0.f)) | ((rate >= max_rate) & (gr < 0.f));
    const F h0 = q[Q0] * up + 1e-20f, h2 = q[Q2] * up + 1e-20f, per_h0 = 1.f / h0;
    // Magnitude: relative amplitude and rate.
    const F c = pick(held, F{}, -q1) * per_h0, d = maximum(h2 - c * c * h0, 1e-6f * h2), per_d = 1.f / d;
    const F z0 = -q[GA], z1 = pick(held, F{}, -gr) - c * z0, dr = z1 * per_d, da = z0 * per_h0 - c * dr;
    // Phase: offset, frequency [rad], and the bipolar term.
    const F e = q1 * per_h0, f = maximum(h2 - e * e * h0, 1e-6f * h2), per_f = 1.f / f;
    const F y0 = -q[GP], y1 = -q[GF] - e * y0;
    F df = y1 * per_f, dp = y0 * per_h0, less = (z0 * z0 + y0 * y0) * per_h0 + z1 * dr + y1 * df;
    if constexpr (BIPOLAR) {
      const F l20 = q[K - 2] * per_h0, l21 = (q[K - 1] - l20 * e * h0) * per_f;
      const F g = maximum(h0 - l20 * l20 * h0 - l21 * l21 * f, 1e-6f * h0);
      const F y2 = -q[K - 3] - l20 * y0 - l21 * y1, odd = y2 / g;
      less += y2 * odd;
      df -= l21 * odd;
      dp -= l20 * odd;
      trial[P - 1] = p[P - 1] + PER_TURN * odd;
    }
    trial[A] = maximum(a + a * da, 0.05f * a);
    trial[RATE] = clamp(rate + dr, 0.f, max_rate);
    trial[PHASE] = p[PHASE] + PER_TURN * (dp - e * df);
    // Beyond half a turn at the last echo the linear model says nothing; where only one echo has signal it runs away.
    trial[FREQUENCY] = p[FREQUENCY] + clamp(PER_TURN * df, -0.5f, 0.5f);
    return less;
  }

  FERRITIN_DEVICE auto rests(const F* p, const F* trial, float tolerance) const {
    const F a = absolute(trial[A] - p[A]), rate = absolute(trial[RATE] - p[RATE]);
    const F phase = absolute(trial[PHASE] - p[PHASE]), frequency = absolute(trial[FREQUENCY] - p[FREQUENCY]);
    return (a <= tolerance * trial[A]) & (maximum(rate, TWO_PI * maximum(phase, frequency)) <= tolerance);
  }

  FERRITIN_DEVICE F spread(int k, const F* q) const { return maximum(variance.pack(k), q[COST]); }

  FERRITIN_DEVICE void finish(const Float<W>* p, const Float<W>* q) {
    const float unknown = bits_to_float(0x7fc00000u);  // NaN: no number is left over to tell the noise from
    const float per_span = 1.f / in.span;
    FOR_LANES {
      const float per_q0 = 1.f / maximum(q[Q0][l], 1e-20f), q1 = q[Q1][l], q2 = q[Q2][l];
      const float left = used[l] - P, residual = left > 0.f ? 2.f * q[COST][l] / left : unknown;
      const float spread = in.noise_sd > 0.f ? variance[l] : residual;
      const float information = maximum(q2 - q1 * q1 * per_q0, 1e-6f * q2);
      float phase_information = information;
      if constexpr (BIPOLAR) {
        const float qp = q[QP][l], cross = q[QPT][l] - qp * q1 * per_q0;
        const float rest = maximum(q[Q0][l] - qp * qp * per_q0, 1e-6f * q[Q0][l]);
        phase_information = maximum(information - cross * cross / rest, 1e-6f * q2);
      }
      const float rate = p[RATE][l] * per_span;
      const float values[8] = {
          p[A][l] * peak[l] * exponential(clamp(rate * in.te1, 0.f, 80.f)),
          rate,
          square_root(spread / information) * per_span,
          p[FREQUENCY][l] * per_span,
          square_root(spread / phase_information) * per_span * PER_TURN,
          p[PHASE][l] - p[FREQUENCY][l] * in.te1 * per_span,
          BIPOLAR ? p[P - 1][l] : 0.f,
          square_root(2.f * q[COST][l] / maximum(energy[l], 1e-20f)),
      };
      for (int k = 0; k < 8; ++k) {
        const float v = k == 5 || k == 6 ? TWO_PI * (values[k] - nearest(values[k])) : values[k];
        out[k][l] = usable[l] ? v : 0.f;
      }
    }
  }

  FERRITIN_DEVICE void store(long long first, const Int<W>& status) const {
    float* const to[8] = {in.s0, in.rate, in.rate_error, in.field, in.field_error, in.offset, in.bipolar, in.residual};
    FERRITIN_UNROLL
    for (int i = 0; i < 8; ++i)
      if (to[i]) FOR_LANES to[i][first + l] = out[i][l];
    FOR_LANES in.status[first + l] = static_cast<unsigned char>(status[l]);
  }
  FERRITIN_DEVICE void store(long long i, int l, int status) const {
    float* const to[8] = {in.s0, in.rate, in.rate_error, in.field, in.field_error, in.offset, in.bipolar, in.residual};
    FERRITIN_UNROLL
    for (int k = 0; k < 8; ++k)
      if (to[k]) to[k][i] = out[k][l];
    in.status[i] = static_cast<unsigned char>(status);
  }
};

template <int W, int N, bool BIPOLAR, bool GRADIENT>
using ComplexFit = Levenberg<W, Complexfit<W, N, BIPOLAR, GRADIENT>>;

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void complexfit(ferritin::ComplexfitArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel || (in.mask && !in.mask[i])) return;
  float scratch[(2 + FERRITIN_GRADIENT) * FERRITIN_ECHOES];
  ferritin::ComplexFit<1, FERRITIN_ECHOES, FERRITIN_BIPOLAR, FERRITIN_GRADIENT> fit(in, scratch);
  decltype(fit)::State state;
  state.voxel = i;
  fit.run(&state, 1, true, 0, &state);
}
#endif
