// R of S0 exp(-R TE) in closed form, each echo read once: weighted log-linear, ARLO, NumART2*.
// Meaning: meaning/closed.py. Launched by cpu.cpp (16 lanes) and gpu.py (one voxel a thread).
#pragma once
#include "lanes.cuh"

namespace ferritin {

enum ClosedForm {
  CLOSED_LOG_LINEAR = 0,  // line through ln M, weights M^2; echoes under three sigma left out
  CLOSED_ARLO = 1,        // Simpson's rule against differences over two equal spacings
  CLOSED_NUMART = 2,      // (M_1 - M_n) / trapezium integral
};

struct ClosedArgs {
  const float* echoes;
  const unsigned char* mask;
  const float* time;
  float* s0;
  float* rate;
  float* error;
  unsigned char* status;
  long long n_voxel;
  int n_echo;
  int complex_echoes;
  int form;
  float te1;
  float span;
  float noise_sd;
  float coils;
  float max_rate;
};

template <int W, int N, int FORM>
struct Closed {
  using State = Voxel;

  const ClosedArgs& in;
  float* const y;  // (n, W): magnitude over peak, less the noise floor
  Float<W> peak, variance, rate, relative;  // relative: error of the rate over the noise
  Int<W> usable;

  FERRITIN_DEVICE Closed(const ClosedArgs& args, float* scratch) : in(args), y(scratch) {}
  FERRITIN_DEVICE int n() const { return N ? N : in.n_echo; }

  FERRITIN_DEVICE int run(const State* states, int count, bool, int, State*) {
    load(states);
    if constexpr (FORM == CLOSED_LOG_LINEAR) log_linear();
    if constexpr (FORM == CLOSED_ARLO) arlo();
    if constexpr (FORM == CLOSED_NUMART) numart();
    finish(states, count);
    return 0;
  }

  FERRITIN_DEVICE void load(const State* states) {
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) read_magnitude<W>(in.echoes, in.complex_echoes, e * in.n_voxel, states, y + e * W);
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
      const float per_peak = 1.f / peak[l];
      variance[l] = in.noise_sd * in.noise_sd * per_peak * per_peak;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) FOR_LANES {
        const float m = y[e * W + l] / peak[l], square = m * m - 2.f * in.coils * variance[l];
        const float corrected = square_root(maximum(square, 0.f));
        y[e * W + l] = usable[l] ? corrected : 1.f;
      }
  }

  FERRITIN_DEVICE void log_linear() {
    Float<W> w0, wt, wtt, wl, wtl, best, second;
    FOR_LANES {
      w0[l] = wt[l] = wtt[l] = wl[l] = wtl[l] = 0.f;
      best[l] = second[l] = 0.f;
    }
    // The two strongest echoes always count, however weak.
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) FOR_LANES {
        const float m = y[e * W + l], top = best[l];
        second[l] = maximum(second[l], minimum(m, top));
        best[l] = maximum(top, m);
      }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e];
      FOR_LANES {
        const float square = y[e * W + l] * y[e * W + l];
        const bool counts = (square >= 9.f * variance[l]) | (y[e * W + l] >= second[l]);
        const float w = counts ? square : 0.f, log = 0.5f * logarithm(maximum(square, 1e-12f));
        w0[l] += w;
        wt[l] += w * t;
        wtt[l] += w * t * t;
        wl[l] += w * log;
        wtl[l] += w * t * log;
      }
    }
    FOR_LANES {
      const float information = maximum(wtt[l] - wt[l] * wt[l] / maximum(w0[l], 1e-20f), 1e-12f);
      rate[l] = (wt[l] * wl[l] / maximum(w0[l], 1e-20f) - wtl[l]) / information;
      relative[l] = inverse_root(information);
    }
  }

  // T2* = (sum S^2 + (D/3) sum S d) / ((D/3) sum d^2 + sum S d); S Simpson's integral, d = M_i - M_(i+2), D the spacing.
  FERRITIN_DEVICE void arlo() {
    const float third = (in.time[1] - in.time[0]) * (1.f / 3.f);
    Float<W> ss, sd, dd;
    FOR_LANES ss[l] = sd[l] = dd[l] = 0.f;
    FERRITIN_UNROLL
    for (int e = 0; e + 2 < n(); ++e) FOR_LANES {
        const float a = y[e * W + l], b = y[(e + 1) * W + l], c = y[(e + 2) * W + l];
        const float s = third * (a + 4.f * b + c), d = a - c;
        ss[l] += s * s;
        sd[l] += s * d;
        dd[l] += d * d;
      }
    Float<W> per, variance_sum;
    FOR_LANES {
      per[l] = 1.f / maximum(ss[l] + third * sd[l], 1e-12f);
      rate[l] = (third * dd[l] + sd[l]) * per[l];
      variance_sum[l] = 0.f;
    }
    // Error of the rate: its derivative by each magnitude, through the (up to three) windows that hold it.
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      Float<W> slope;
      FOR_LANES slope[l] = 0.f;
      FERRITIN_UNROLL
      for (int k = 0; k < 3; ++k) {
        const int i = e - k;
        if (i < 0 || i + 2 >= n()) continue;
        const float ds = third * (k == 1 ? 4.f : 1.f), dd_dm = k == 0 ? 1.f : k == 1 ? 0.f : -1.f;
        FOR_LANES {
          const float a = y[i * W + l], b = y[(i + 1) * W + l], c = y[(i + 2) * W + l];
          const float s = third * (a + 4.f * b + c), d = a - c, r = rate[l];
          slope[l] += ds * (d - 2.f * r * s - r * third * d) + dd_dm * (2.f * third * d + s - r * third * s);
        }
      }
      FOR_LANES variance_sum[l] += slope[l] * slope[l];
    }
    FOR_LANES relative[l] = square_root(variance_sum[l]) * per[l];
  }

  FERRITIN_DEVICE void numart() {
    Float<W> area, variance_sum;
    FOR_LANES area[l] = variance_sum[l] = 0.f;
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float width = trapezium(e);
      FOR_LANES area[l] += width * y[e * W + l];
    }
    FOR_LANES rate[l] = (y[l] - y[(n() - 1) * W + l]) / maximum(area[l], 1e-12f);
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float width = trapezium(e), end = e == 0 ? 1.f : e == n() - 1 ? -1.f : 0.f;
      FOR_LANES {
        const float slope = end - rate[l] * width;
        variance_sum[l] += slope * slope;
      }
    }
    FOR_LANES relative[l] = square_root(variance_sum[l]) / maximum(area[l], 1e-12f);
  }

  FERRITIN_DEVICE float trapezium(int e) const {
    return 0.5f * (in.time[e + 1 < n() ? e + 1 : e] - in.time[e > 0 ? e - 1 : 0]);
  }

  // Bounds; the amplitude that fits best, and from its residual the noise where nobody gave it.
  FERRITIN_DEVICE void finish(const State* states, int count) {
    Float<W> md, dd, mm;
    FOR_LANES {
      rate[l] = clamp(rate[l], 0.f, in.max_rate * in.span);
      md[l] = dd[l] = mm[l] = 0.f;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float t = in.time[e];
      FOR_LANES {
        const float d = exponential(-rate[l] * t), m = y[e * W + l];
        md[l] += m * d;
        dd[l] += d * d;
        mm[l] += m * m;
      }
    }
    const float freedom = static_cast<float>(n() - 2);
    const float per_freedom = freedom > 0.f ? 1.f / freedom : bits_to_float(0x7fc00000u), per_span = 1.f / in.span;
    Float<W> out[3];
    FOR_LANES {
      const float a = md[l] / dd[l], left = maximum(mm[l] - a * md[l], 0.f) * per_freedom, r = rate[l] * per_span;
      const float s0 = a * peak[l] * exponential(clamp(r * in.te1, 0.f, 80.f));
      const float error = square_root(in.noise_sd > 0.f ? variance[l] : left) * relative[l] * per_span;
      out[0][l] = usable[l] ? s0 : 0.f;
      out[1][l] = usable[l] ? r : 0.f;
      out[2][l] = usable[l] ? error : 0.f;
    }
    const long long first = states[0].voxel;
    if (count == W && side_by_side<W>(states)) {
      FOR_LANES store(first + l, l, out);
    } else {
      for (int l = 0; l < count; ++l) store(states[l].voxel, l, out);
    }
  }

  FERRITIN_DEVICE void store(long long i, int l, const Float<W>* out) const {
    in.s0[i] = out[0][l];
    in.rate[i] = out[1][l];
    in.error[i] = out[2][l];
    in.status[i] = usable[l] ? 128 : 0;
  }
};

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void closed(ferritin::ClosedArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel || (in.mask && !in.mask[i])) return;
  float scratch[FERRITIN_ECHOES];
  ferritin::Closed<1, FERRITIN_ECHOES, FERRITIN_FORM> fit(in, scratch);
  decltype(fit)::State state = {i};
  fit.run(&state, 1, true, 0, &state);
}
#endif
