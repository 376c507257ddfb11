// Multi-echo spin echo: T2 and the refocusing angle from a Carr-Purcell-Meiboom-Gill train by extended phase graphs.
// Contract: epg.py; meaning: meaning/epg.py. Launched by cpu.cpp (16 lanes) and gpu.py (one voxel a thread).
//
// Only odd orders of dephasing ever reach an echo, and one more of them with every pulse, so that order 2j + 1 is
// followed from pulse j + 1 to pulse n - j: n²/4 steps for n echoes, exactly. A pulse of angle a leaves F+ + F- as it
// is and turns (F+ - F-, Z); with Z in units of sin(a)/2 it knows the angle by c = cos(a) alone. So the echoes are a
// polynomial in c, whose slope does not vanish at 180 degrees where that in a does: the fit's parameter is 1 + c.
#pragma once
#include "levenberg.cuh"

namespace ferritin {

enum EpgModel {
  EPG_PLAIN = 0,   // E[M] = m
  EPG_SECOND = 1,  // E[M^2] = m^2 + 2 N s^2, as MONOEXP_SECOND
};

struct EpgArgs {
  const float* echoes;
  const unsigned char* mask;
  const float* weight;
  const float* atoms;
  const float* grid;
  const float* profile;
  float* s0;
  float* rate;
  float* error;
  float* angle;
  unsigned char* status;
  long long n_voxel;
  int n_echo;
  int n_skip;
  int complex_echoes;
  int model;
  int n_atom;
  int n_part;
  int max_iterations;
  float duration;
  float recovery;
  float noise_sd;
  float coils;
  float max_rate;
  float least;
  float most;
  float farthest;
  float tolerance;
};

// Lines of W floats that a fit works in.
FERRITIN_DEVICE constexpr int epg_lines(int n_echo, int n_skip, bool parts) {
  return (parts ? 4 : 1) * n_echo + 9 * ((n_echo + n_skip + 1) / 2);
}

// N, SKIP: echoes measured, and echoes before them that were not, known to the compiler (CUDA: everything stays in
// registers); N = 0: both read from the arguments.
// PARTS: the voxel is a sum of parts of the slice profile, and the parameter is the angle at the slice's middle [rad].
template <int W, int N, int SKIP, int MODEL, bool PARTS>
struct Epg {
  // Amplitude in units of the largest echo; R2 times the train's duration; 1 + cos of the angle, or the angle. Then
  // what travels with a voxel: its last step in X, the slope that Gauss-Newton expected there, and how much more the
  // cost bends in X than Gauss-Newton knows. Where the echoes hardly tell the angle, noise bends as much as they do.
  enum Parameter { A, RATE, X, STEP, EXPECTED, BEND };
  enum Sum { COST, G0, G1, H00, H01, H11, G2, H02, H12, H22 };
  static constexpr int P = 6, K = 10, UNKNOWNS = 3;

  using F = Pack<W>;
  static constexpr int LANES = PackOf<W>::LANES;

  const EpgArgs in;  // a copy that no store can change: what is read of it stays in registers
  float* const y;      // (n, W): magnitude over peak
  float* const state;  // (3 orders, 3) of a pack: F-, F+ and Z of the orders, each with its slopes
  float* const sum;    // (3, n) of a pack with PARTS: the echoes and their slopes
  Float<W> peak, variance, used, out[4];
  Int<W> usable;

  FERRITIN_DEVICE Epg(const EpgArgs& args, float* scratch)
      : in(args), y(scratch), state(y + n() * W), sum(state + 9 * orders() * W) {}
  FERRITIN_DEVICE int n() const { return N ? N : in.n_echo; }
  FERRITIN_DEVICE int skip() const { return N ? SKIP : in.n_skip; }
  FERRITIN_DEVICE int train() const { return n() + skip(); }
  FERRITIN_DEVICE int orders() const { return (train() + 1) / 2; }

  // Read the magnitudes of W voxels and scale them to the largest echo.
  template <class State>
  FERRITIN_DEVICE void load(const State* states) {
    Float<W> per_peak;
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) read_magnitude<W>(in.echoes, in.complex_echoes, e * in.n_voxel, states, y + e * W);
    FOR_LANES {
      peak[l] = used[l] = 0.f;
      usable[l] = 1;
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) {
      const float counts = in.weight[e] > 0.f ? 1.f : 0.f;
      FOR_LANES {
        usable[l] &= is_finite(y[e * W + l]) ? 1 : 0;
        used[l] += counts;
        peak[l] = maximum(peak[l], counts * y[e * W + l]);
      }
    }
    FOR_LANES {
      usable[l] &= ((peak[l] > 1e-30f) & (peak[l] < 1e30f)) ? 1 : 0;
      peak[l] = usable[l] ? peak[l] : 1.f;
      per_peak[l] = 1.f / peak[l];
      variance[l] = in.noise_sd * in.noise_sd * per_peak[l] * per_peak[l];
    }
    FERRITIN_UNROLL
    for (int e = 0; e < n(); ++e) FOR_LANES {
        const float scaled = y[e * W + l] * per_peak[l];
        y[e * W + l] = usable[l] ? minimum(scaled, 1e3f) : 1.f;
      }
  }

  // The atom of a coarse dictionary that lies closest in direction; four at a time, so that no sum waits for itself.
  FERRITIN_DEVICE void start(Float<W>* p) {
    Float<W> best, at;
    FOR_LANES {
      best[l] = -1.f;
      at[l] = 0.f;
    }
    for (int d = 0; d < in.n_atom; d += 4) {
      const float* atom = in.atoms + d * n();
      F match[4][W / LANES]{};
      FERRITIN_UNROLL
      for (int e = 0; e < n(); ++e, atom += 4) {
        FOR_PACKS {
          const F data = get<W>(y + e * W, k);
          match[0][k] += atom[0] * data;
          match[1][k] += atom[1] * data;
          match[2][k] += atom[2] * data;
          match[3][k] += atom[3] * data;
        }
      }
      FERRITIN_UNROLL
      for (int i = 0; i < 4; ++i) FOR_PACKS {
          const F m = match[i][k], most = best.pack(k);
          at.put(k, pick(m > most, every<F>(static_cast<float>(d + i)), at.pack(k)));
          best.put(k, maximum(m, most));
        }
    }
    for (int l = 0; l < W; ++l) {
      const float* atom = in.grid + 3 * static_cast<int>(at[l]);
      p[RATE][l] = atom[0];
      p[X][l] = atom[1];
      p[A][l] = maximum(best[l] * atom[2], 1e-6f);
      p[STEP][l] = p[EXPECTED][l] = p[BEND][l] = 0.f;
    }
  }

  // Amplitudes m of a pack's echoes of one angle, by c = cos(angle), and their slopes m_e in ln(decay) and m_c in c;
  // echo(e, m, m_e, m_c) takes those that were measured. Between two pulses every F moves to the place above it:
  // ... F-_1, F-_0 (the echo), F+_0, F+_1 ...
  template <class Echo>
  FERRITIN_DEVICE void follow(F c, F decay, Echo echo) const {
    const int pulses = train(), plus_0 = 3 * orders(), z_0 = 6 * orders();
    const F half = 0.5f * decay, recovery = every<F>(in.recovery);
    float* const at = state;
    FERRITIN_UNROLL
    for (int i = 0; i < 9 * orders(); ++i) put<W>(at, i, F{});
    put<W>(at, plus_0, every<F>(1.f));
    FERRITIN_UNROLL
    for (int pulse = 1; pulse <= pulses; ++pulse) {
      const int to = pulses - pulse, top = pulse - 1 < to ? pulse - 1 : to;
      F last{}, last_e{}, last_c{};  // F+ of an order, on its way to the next
      FERRITIN_UNROLL
      for (int j = 0; j < orders(); ++j) {
        if (j > top) break;  // a loop of known length, which NVRTC unrolls
        const int plus = plus_0 + 3 * j, minus = plus_0 - 3 * (j + 1), z = z_0 + 3 * j, above = minus + 3;
        const F whole = get<W>(at, plus) + get<W>(at, minus), apart = get<W>(at, plus) - get<W>(at, minus);
        const F z0 = get<W>(at, z), back = c * z0 - apart, turned = z0 - c * back;  // c apart + (1 - c²) z0
        const F up = half * (whole + turned), down = half * (whole - turned);
        put<W>(at, z, recovery * back);
        put<W>(at, plus, last);
        put<W>(at, above, down);
        last = up;

        const F plus_e = get<W>(at, plus + 1), minus_e = get<W>(at, minus + 1), z_e = get<W>(at, z + 1);
        const F whole_e = plus_e + minus_e, back_e = c * z_e - (plus_e - minus_e), turned_e = z_e - c * back_e;
        put<W>(at, z + 1, recovery * back_e);
        put<W>(at, plus + 1, last_e);
        put<W>(at, above + 1, half * (whole_e - turned_e) + down);
        last_e = half * (whole_e + turned_e) + up;

        const F plus_c = get<W>(at, plus + 2), minus_c = get<W>(at, minus + 2), z_c = get<W>(at, z + 2);
        const F whole_c = plus_c + minus_c, back_c = c * z_c - (plus_c - minus_c) + z0;
        const F turned_c = z_c - c * back_c - back;
        put<W>(at, z + 2, recovery * back_c);
        put<W>(at, plus + 2, last_c);
        put<W>(at, above + 2, half * (whole_c - turned_c));
        last_c = half * (whole_c + turned_c);
      }
      if (top + 1 < to) {
        const int plus = plus_0 + 3 * (top + 1);
        put<W>(at, plus, last);
        put<W>(at, plus + 1, last_e);
        put<W>(at, plus + 2, last_c);
      }
      if (pulse > skip())
        echo(pulse - 1 - skip(), get<W>(at, plus_0), get<W>(at, plus_0 + 1), get<W>(at, plus_0 + 2));
    }
  }

  // Add an echo of pack k to the sums: m and its slopes per unit of amplitude, in the rate and in X. Small angles also
  // make negative echoes, of which the magnitude was measured.
  FERRITIN_DEVICE void gather(int e, int k, F amplitude, F m, F m_rate, F m_x, F* q) const {
    const F data = get<W>(y + e * W, k), one = every<F>(1.f), sign = pick(m < 0.f, -one, one);
    const F signal = amplitude * sign * m, up = MODEL == EPG_SECOND ? 2.f * sign * signal : sign;
    const F j0 = up * m, j1 = up * amplitude * m_rate, j2 = up * amplitude * m_x;
    const F weight = every<F>(in.weight[e]);
    F score, w = weight;
    if constexpr (MODEL == EPG_SECOND) {
      const F floor = in.coils * variance.pack(k), z = data * data - floor, u = signal * signal + floor;
      w = weight / u;
      score = weight - w * z;
      q[COST] += weight * (u - z * logarithm(u));
    } else {
      const F r = signal - data;
      score = weight * r;
      q[COST] += 0.5f * score * r;
    }
    const F w0 = w * j0, w1 = w * j1;
    q[G0] += score * j0;
    q[G1] += score * j1;
    q[G2] += score * j2;
    q[H00] += w0 * j0;
    q[H01] += w0 * j1;
    q[H02] += w0 * j2;
    q[H11] += w1 * j1;
    q[H12] += w1 * j2;
    q[H22] += w * j2 * j2;
  }

  FERRITIN_DEVICE void evaluate(const Float<W>* p, Float<W>* sums) const {
    const float per_pulse = -1.f / static_cast<float>(train());
    FOR_PACKS {
      const F amplitude = p[A].pack(k), x = p[X].pack(k), decay = exponential(per_pulse * p[RATE].pack(k));
      F q[K];
      FERRITIN_UNROLL
      for (int i = 0; i < K; ++i) q[i] = F{};
      if constexpr (PARTS) {
        add_parts(x, decay, per_pulse);
        FERRITIN_UNROLL
        for (int e = 0; e < n(); ++e)
          gather(e, k, amplitude, get<W>(sum, e), get<W>(sum, n() + e), get<W>(sum, 2 * n() + e), q);
      } else {
        follow(x - 1.f, decay,
               [&](int e, F m, F m_e, F m_c) { gather(e, k, amplitude, m, per_pulse * m_e, m_c, q); });
      }
      FERRITIN_UNROLL
      for (int i = 0; i < K; ++i) sums[i].put(k, q[i]);
    }
  }

  // The sum of the slice's parts, for a pack.
  FERRITIN_DEVICE void add_parts(F x, F decay, float per_pulse) const {
    FERRITIN_UNROLL
    for (int i = 0; i < 3 * n(); ++i) put<W>(sum, i, F{});
    for (int part = 0; part < in.n_part; ++part) {
      const float angle = in.profile[2 * part], share = in.profile[2 * part + 1];
      F sine, c;
      sine_cosine(angle * PER_TURN * x, sine, c);
      const F slope = -share * angle * sine;
      follow(c, decay, [&](int e, F m, F m_e, F m_c) {
        const int to = e, to_e = n() + e, to_x = 2 * n() + e;
        put<W>(sum, to, get<W>(sum, to) + share * m);
        put<W>(sum, to_e, get<W>(sum, to_e) + share * per_pulse * m_e);
        put<W>(sum, to_x, get<W>(sum, to_x) + slope * m_c);
      });
    }
  }

  // Whether a parameter is held at its bound by the gradient, and leaves the system.
  template <class V>
  FERRITIN_DEVICE static auto held(V value, V gradient, float low, float high) {
    return ((value <= low) & (gradient > 0.f)) | ((value >= high) & (gradient < 0.f));
  }

  FERRITIN_DEVICE F solve(int k, const F* p, const F* q, F damping, F* trial) const {
    const float max_rate = in.max_rate * in.duration;
    const F up = 1.f + damping, g0 = q[G0], g1 = q[G1], g2 = q[G2];
    const auto held1 = held(p[RATE], g1, 0.f, max_rate), held2 = held(p[X], g2, in.least, in.most);
    // The bend as the last step met it, once noise is most of what is left to explain; farther off it misleads.
    const F last = p[STEP], h22_gauss = q[H22];
    const auto met = absolute(last) > 1e-5f, near = g2 * g2 < 0.05f * h22_gauss * spread(k, q);
    const F growth = (g2 - p[EXPECTED]) / pick(met, last, every<F>(1.f));
    const F seen = minimum(maximum(growth, -0.5f * h22_gauss), 9.f * h22_gauss);
    const F bend = pick(near, pick(met, seen, p[BEND]), F{});
    const F h00 = q[H00] * up + 1e-20f, h11 = q[H11] * up + 1e-20f;
    const F h22 = (h22_gauss + bend) * up + 1e-20f;
    const F per_h00 = 1.f / h00, l10 = pick(held1, F{}, q[H01]) * per_h00;
    const F d1 = maximum(h11 - l10 * l10 * h00, 1e-6f * h11), per_d1 = 1.f / d1;
    const F l20 = pick(held2, F{}, q[H02]) * per_h00;
    const F l21 = (pick(held1 | held2, F{}, q[H12]) - l20 * l10 * h00) * per_d1;
    const F d2 = maximum(h22 - l20 * l20 * h00 - l21 * l21 * d1, 1e-6f * h22);
    const F z0 = -g0, z1 = pick(held1, F{}, -g1) - l10 * z0, z2 = pick(held2, F{}, -g2) - l20 * z0 - l21 * z1;
    // No farther than the next atom of the dictionary, and not beyond the bounds: the others then follow from there.
    const F to2 = clamp(p[X] + clamp(z2 / d2, -in.farthest, in.farthest), in.least, in.most);
    const F step2 = to2 - p[X], step1 = z1 * per_d1 - l21 * step2;
    const F step0 = z0 * per_h00 - l10 * step1 - l20 * step2;
    trial[A] = maximum(p[A] + step0, 0.05f * p[A]);
    trial[RATE] = clamp(p[RATE] + step1, 0.f, max_rate);
    trial[X] = to2;
    trial[STEP] = step2;
    trial[EXPECTED] = g2 + q[H02] * (trial[A] - p[A]) + q[H12] * (trial[RATE] - p[RATE]) + h22_gauss * step2;
    trial[BEND] = bend;
    return z0 * z0 * per_h00 + z1 * z1 * per_d1 + z2 * step2;
  }

  FERRITIN_DEVICE auto rests(const F* p, const F* trial, float tolerance) const {
    const F a = absolute(trial[A] - p[A]), rate = absolute(trial[RATE] - p[RATE]), x = absolute(trial[X] - p[X]);
    return (a <= tolerance * trial[A]) & (rate <= tolerance * (1.f + p[RATE])) & (x <= tolerance);
  }

  FERRITIN_DEVICE F spread(int k, const F* q) const {
    return MODEL == EPG_SECOND ? 4.f * variance.pack(k) : maximum(variance.pack(k), q[COST]);
  }

  // Back to the units of the data; the standard error of the rate from the inverse of the Gauss-Newton matrix, the
  // angle taken as known where it is held at a bound (at 180 degrees that is the scatter of the bounded estimate).
  FERRITIN_DEVICE void finish(const Float<W>* p, const Float<W>* q) {
    const float unknown = bits_to_float(0x7fc00000u);  // NaN: no echo is left over to tell the noise from
    FOR_LANES {
      const bool known = held(p[X][l], q[G2][l], in.least, in.most);
      const float per_h22 = known ? 0.f : 1.f / maximum(q[H22][l], 1e-20f);
      const float h00 = q[H00][l] - q[H02][l] * q[H02][l] * per_h22;
      const float h01 = q[H01][l] - q[H02][l] * q[H12][l] * per_h22;
      const float h11 = q[H11][l] - q[H12][l] * q[H12][l] * per_h22;
      const float left = used[l] - UNKNOWNS, residual = left > 0.f ? 2.f * q[COST][l] / left : unknown;
      const float told = (MODEL == EPG_SECOND ? 4.f : 1.f) * variance[l];
      const float information = maximum(h11 - h01 * h01 / maximum(h00, 1e-20f), 1e-6f * h11);
      const float error = square_root((in.noise_sd > 0.f ? told : residual) / information) / in.duration;
      const float x = clamp(0.5f * p[X][l], 0.f, 1.f);
      const float angle_of = PARTS ? p[X][l] : 2.f * TWO_PI * angle(square_root(1.f - x), square_root(x));
      const bool fitted = usable[l] != 0;
      out[0][l] = fitted ? p[A][l] * peak[l] : 0.f;
      out[1][l] = fitted ? p[RATE][l] / in.duration : 0.f;
      out[2][l] = fitted ? error : 0.f;
      out[3][l] = fitted ? angle_of : 0.f;
    }
  }

  FERRITIN_DEVICE void store(long long first, const Int<W>& status) const {
    FOR_LANES in.s0[first + l] = out[0][l];
    FOR_LANES in.rate[first + l] = out[1][l];
    FOR_LANES in.error[first + l] = out[2][l];
    FOR_LANES in.angle[first + l] = out[3][l];
    FOR_LANES in.status[first + l] = static_cast<unsigned char>(status[l]);
  }
  FERRITIN_DEVICE void store(long long i, int l, int status) const {
    in.s0[i] = out[0][l];
    in.rate[i] = out[1][l];
    in.error[i] = out[2][l];
    in.angle[i] = out[3][l];
    in.status[i] = static_cast<unsigned char>(status);
  }
};

template <int W, int N, int SKIP, int MODEL, bool PARTS>
using EpgFit = Levenberg<W, Epg<W, N, SKIP, MODEL, PARTS>>;

}  // namespace ferritin

#if defined(__CUDACC__) || defined(FERRITIN_HOST_CUDA)
extern "C" __global__ void epg(ferritin::EpgArgs in) {
  const long long i = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x;
  if (i >= in.n_voxel || (in.mask && !in.mask[i])) return;
  // Up to 18 pulses the states stay in registers; longer trains keep them in local memory.
  constexpr bool known = FERRITIN_ECHOES + FERRITIN_SKIP <= 18;
  constexpr int echoes = known ? FERRITIN_ECHOES : 0, skip = known ? FERRITIN_SKIP : 0;
  float scratch[ferritin::epg_lines(FERRITIN_ECHOES, FERRITIN_SKIP, FERRITIN_PARTS)];
  ferritin::EpgFit<1, echoes, skip, FERRITIN_MODEL, FERRITIN_PARTS> fit(in, scratch);
  decltype(fit)::State state;
  state.voxel = i;
  fit.run(&state, 1, true, 0, &state);
}
#endif
