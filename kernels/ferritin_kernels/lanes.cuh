// What every kernel shares: W voxels ("lanes") advance together, W = 1 in a CUDA thread, W = 16 on the CPU.
//
// A kernel is written once as loops over its lanes (FOR_LANES), without branches, so that g++ turns each loop into
// vector instructions and NVRTC into one scalar. Where sums over the echoes are to stay in registers the loop is over
// packs (FOR_PACKS): as many lanes as a register holds on the CPU, a float in CUDA. A lane that has converged is frozen
// by a select, so that no voxel's result depends on the voxels that happen to share its vector. The elementary
// functions are polynomials of our own (least maximum error by Lawson's weights): they vectorise, and they give CPU and
// GPU the same numbers, to the last bits of a reciprocal root.
#pragma once

#if defined(__CUDACC__)
#define FERRITIN_DEVICE __device__ __forceinline__
#define FERRITIN_UNROLL _Pragma("unroll")
#define FOR_LANES for (int l = 0; l < W; ++l)
#else
#include <cstring>
#if defined(__SSE__)
#include <immintrin.h>
#endif
#define FERRITIN_DEVICE inline __attribute__((always_inline))
#define FERRITIN_UNROLL
#define FOR_LANES _Pragma("omp simd") for (int l = 0; l < W; ++l)
#endif

namespace ferritin {

constexpr float TWO_PI = 6.283185307f;
constexpr float PER_TURN = 0.159154943f;

#if !defined(__CUDACC__)
#if defined(__AVX512F__)
constexpr int VECTOR = 16;
#elif defined(__AVX__)
constexpr int VECTOR = 8;
#else
constexpr int VECTOR = 4;
#endif
typedef float Vector __attribute__((vector_size(4 * VECTOR)));
typedef unsigned Bits __attribute__((vector_size(4 * VECTOR)));
#endif

// What a register holds of W lanes: a float where W is 1, else a vector. Arithmetic, comparisons and & | of these read
// the same for both; pick() is their ?:.
template <int W>
struct PackOf {
#if !defined(__CUDACC__)
  using Type = Vector;
  static constexpr int LANES = VECTOR;
#endif
};
template <>
struct PackOf<1> {
  using Type = float;
  static constexpr int LANES = 1;
};
template <int W>
using Pack = typename PackOf<W>::Type;
#define FOR_PACKS for (int k = 0; k < W / PackOf<W>::LANES; ++k)

template <int W>
FERRITIN_DEVICE Pack<W> get(const float* lanes, int k) {
  if constexpr (W == 1) {
    return lanes[k];
  } else {
    Pack<W> pack;
    __builtin_memcpy(&pack, lanes + k * PackOf<W>::LANES, sizeof(pack));
    return pack;
  }
}
template <int W>
FERRITIN_DEVICE void put(float* lanes, int k, Pack<W> pack) {
  if constexpr (W == 1) {
    lanes[k] = pack;
  } else {
    __builtin_memcpy(lanes + k * PackOf<W>::LANES, &pack, sizeof(pack));
  }
}

// One float, or one int, per lane.
template <int W>
struct alignas(W * sizeof(float)) Float {
  float v[W];
  FERRITIN_DEVICE float& operator[](int l) { return v[l]; }
  FERRITIN_DEVICE const float& operator[](int l) const { return v[l]; }
  FERRITIN_DEVICE Pack<W> pack(int k) const { return get<W>(v, k); }
  FERRITIN_DEVICE void put(int k, Pack<W> pack) { ferritin::put<W>(v, k, pack); }
};
template <int W>
struct alignas(W * sizeof(int)) Int {
  int v[W];
  FERRITIN_DEVICE int& operator[](int l) { return v[l]; }
  FERRITIN_DEVICE const int& operator[](int l) const { return v[l]; }
};

FERRITIN_DEVICE float bits_to_float(unsigned i) {
#if defined(__CUDACC__)
  return __uint_as_float(i);
#else
  float f;
  std::memcpy(&f, &i, 4);
  return f;
#endif
}

FERRITIN_DEVICE unsigned float_to_bits(float f) {
#if defined(__CUDACC__)
  return __float_as_uint(f);
#else
  unsigned i;
  std::memcpy(&i, &f, 4);
  return i;
#endif
}

FERRITIN_DEVICE float minimum(float a, float b) { return a < b ? a : b; }
FERRITIN_DEVICE float maximum(float a, float b) { return a > b ? a : b; }
FERRITIN_DEVICE float clamp(float x, float lo, float hi) { return minimum(maximum(x, lo), hi); }
FERRITIN_DEVICE float pick(bool first, float a, float b) { return first ? a : b; }
FERRITIN_DEVICE float sum(float pack) { return pack; }
#if !defined(__CUDACC__)
FERRITIN_DEVICE Vector bits_to_float(Bits i) { return reinterpret_cast<Vector>(i); }
FERRITIN_DEVICE Bits float_to_bits(Vector f) { return reinterpret_cast<Bits>(f); }
FERRITIN_DEVICE Vector minimum(Vector a, Vector b) { return a < b ? a : b; }
FERRITIN_DEVICE Vector minimum(Vector a, float b) { return minimum(a, b - Vector{}); }
FERRITIN_DEVICE Vector maximum(Vector a, Vector b) { return a > b ? a : b; }
FERRITIN_DEVICE Vector maximum(Vector a, float b) { return maximum(a, b - Vector{}); }
FERRITIN_DEVICE Vector clamp(Vector x, float lo, Vector hi) { return minimum(maximum(x, lo), hi); }
FERRITIN_DEVICE Vector clamp(Vector x, float lo, float hi) { return minimum(maximum(x, lo), hi); }
template <class Mask>
FERRITIN_DEVICE Vector pick(Mask first, Vector a, Vector b) {
  return first ? a : b;
}
FERRITIN_DEVICE float sum(Vector pack) {
  float total = 0.f;
  for (int l = 0; l < VECTOR; ++l) total += pack[l];
  return total;
}
#endif
// x in every lane of a pack (x - 0 is x, where x + 0 is not for -0: no instruction is left of it).
template <class F>
FERRITIN_DEVICE F every(float x) {
  return x - F{};
}
template <class F>
FERRITIN_DEVICE F absolute(F x) {
  return bits_to_float(float_to_bits(x) & 0x7fffffffu);
}
FERRITIN_DEVICE bool is_finite(float x) { return x - x == 0.f; }

// sqrt of the hardware, rounded to nearest on both sides.
FERRITIN_DEVICE float square_root(float x) {
#if defined(__CUDACC__)
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}

// 1.5 * 2^23: added to |x| < 2^22 it pushes the fraction out of the mantissa, whose low bits then hold the integer.
constexpr float ROUNDER = 12582912.f;

// 1 / sqrt(x) for x > 0 (normal numbers), relative error below 7e-7: a guess that halves the exponent (constants of
// J. Kadlec, error 6.5e-4) and one step of Newton's. Several times as fast in vectors as a square root and a division.
FERRITIN_DEVICE float inverse_root(float x) {
#if defined(__CUDACC__)
  return __frsqrt_rn(x);
#else
  const float guess = bits_to_float(0x5f1ffff9u - (float_to_bits(x) >> 1));
  const float r = 0.703952253f * guess * (2.38924456f - x * guess * guess);
  return r * (1.5f - 0.5f * x * r * r);
#endif
}
#if !defined(__CUDACC__)
// The same from the machine's own guess, error 3.7e-4: half as many instructions.
FERRITIN_DEVICE Vector inverse_root(Vector x) {
#if defined(__AVX512F__)
  const Vector r = reinterpret_cast<Vector>(_mm512_maskz_rsqrt14_ps(0xffff, reinterpret_cast<__m512>(x)));
#elif defined(__AVX__)
  const Vector r = reinterpret_cast<Vector>(_mm256_rsqrt_ps(reinterpret_cast<__m256>(x)));
#elif defined(__SSE__)
  const Vector r = reinterpret_cast<Vector>(_mm_rsqrt_ps(reinterpret_cast<__m128>(x)));
#else
  const Vector guess = bits_to_float(0x5f1ffff9u - (float_to_bits(x) >> 1));
  const Vector r = 0.703952253f * guess * (2.38924456f - x * guess * guess);
#endif
  return r * (1.5f - 0.5f * x * (r * r));
}
#endif

// Nearest integer of |x| < 2^22, ties to even, as a float.
template <class F>
FERRITIN_DEVICE F nearest(F x) {
  return (x + ROUNDER) - ROUNDER;
}

// 2^x for |x| < 126, relative error below 2e-7.
template <class F>
FERRITIN_DEVICE F power_of_two(F x) {
  const F shifted = x + (ROUNDER + 127.f), f = x - (shifted - (ROUNDER + 127.f));
  F q = 1.326458785e-3f * f + 9.671619604e-3f;
  q = q * f + 5.550735045e-2f;
  q = q * f + 2.402224045e-1f;
  q = q * f + 6.931469764e-1f;
  q = q * f + 1.f;
  return q * bits_to_float(float_to_bits(shifted) << 23);
}

// e^x for |x| < 87, relative error below 2e-7 + 6e-8 |x|.
template <class F>
FERRITIN_DEVICE F exponential(F x) {
  return power_of_two(x * 1.442695041f);
}

// ln x for x > 0 (normal numbers), absolute error below 1e-7 + 6e-8 |ln x|.
template <class F>
FERRITIN_DEVICE F logarithm(F x) {
  const auto bits = float_to_bits(x) - 0x3f3504f3u;  // sqrt(1/2): the mantissa falls into [sqrt(1/2), sqrt(2))
  const F m = bits_to_float((bits & 0x007fffffu) + 0x3f3504f3u);
  const F s = (m - 1.f) / (m + 1.f);
  const F u = s * s;
  F q = 2.996415673e-1f * u + 3.997349474e-1f;
  q = q * u + 6.666681763e-1f;
  // The exponent, which is signed: its low 9 bits, the highest turned over, as the last ones of ROUNDER less 256.
  const F kf = bits_to_float(((bits >> 23) ^ 0x100u) + 0x4b3fff00u) - ROUNDER;
  return (q * u * s + 2.f * s) + kf * -2.12194440e-4f + kf * 0.693359375f;
}

// ln x for x > 0 (normal numbers), absolute error below 1e-4: a start for what is refined afterwards.
template <class F>
FERRITIN_DEVICE F rough_logarithm(F x) {
  const auto bits = float_to_bits(x);
  const F m = bits_to_float((bits & 0x007fffffu) | 0x3f800000u);
  // The exponent plus 127, put into the mantissa of 2^23.
  const F k = bits_to_float((bits >> 23) | 0x4b000000u) - (8388608.f + 127.f);
  F q = -0.055459313094615936f * m + 0.44050273299217224f;
  q = q * m + -1.4551948308944702f;
  q = q * m + 2.806980609893799f;
  q = q * m + -1.7367597818374634f;
  return k * 0.6931471806f + q;
}

// Sine and cosine of an angle in turns (1 turn = 2 pi), |turns| < 2^20; absolute error below 2e-7 of the turns given.
template <class F>
FERRITIN_DEVICE void sine_cosine(F turns, F& sine, F& cosine) {
  const F r = turns - nearest(turns);
  const F shifted = 4.f * r + ROUNDER;
  const F s = r - 0.25f * (shifted - ROUNDER);
  const F u = s * s;
  F p = -7.539947995e1f * u + 8.159250298e1f;
  p = p * u - 4.134166240e1f;
  p = p * u + 6.283185288f;
  p = p * s;
  F q = 5.924397682e1f * u - 8.544368949e1f;
  q = q * u + 6.493932607e1f;
  q = q * u - 1.973920869e1f;
  q = q * u + 1.f;
  const auto k = float_to_bits(shifted);
  const auto odd = (k & 1u) != 0u;
  const F a = pick(odd, q, p);
  const F b = pick(odd, p, q);
  sine = pick((k & 2u) != 0u, -a, a);
  cosine = pick(((k + 1u) & 2u) != 0u, -b, b);
}

// Angle of x + iy in turns, in [-1/2, 1/2]; 0 for 0 + 0i. Absolute error below 3e-8 turns.
FERRITIN_DEVICE float angle(float y, float x) {
  const float ax = absolute(x), ay = absolute(y);
  const float big = maximum(ax, ay), small = minimum(ax, ay);
  const float r = small / maximum(big, 1e-37f);
  const float u = r * r;
  float p = -4.054504397e-3f;
  p = p * u + 2.186272733e-2f;
  p = p * u - 5.591198897e-2f;
  p = p * u + 9.642172184e-2f;
  p = p * u - 1.390861956e-1f;
  p = p * u + 1.994656362e-1f;
  p = p * u - 3.332986060e-1f;
  p = p * u + 9.999993355e-1f;
  const float octant = p * r * PER_TURN;
  const float quadrant = ay > ax ? 0.25f - octant : octant;
  const float half = x < 0.f ? 0.5f - quadrant : quadrant;
  return y < 0.f ? -half : half;
}

// A voxel that has not begun.
struct Voxel {
  long long voxel;
};

template <int W, class Place>
FERRITIN_DEVICE bool side_by_side(const Place* places) {
  constexpr int before = W > 1 ? W - 2 : 0;  // a short group repeats its last voxel, so its ends alone can deceive
  return places[W - 1].voxel - places[0].voxel == W - 1 && places[before].voxel - places[0].voxel == before;
}

// Real and imaginary parts of W voxels, from a complex echo that starts at voxel `first`.
template <int W, class Place>
FERRITIN_DEVICE void read_complex(const float* echoes, long long first, const Place* places, float* re, float* im) {
  if (side_by_side<W>(places)) {
    const float* echo = echoes + 2 * (first + places[0].voxel);
    FOR_LANES {
      re[l] = echo[2 * l];
      im[l] = echo[2 * l + 1];
    }
  } else {
    for (int l = 0; l < W; ++l) {
      re[l] = echoes[2 * (first + places[l].voxel)];
      im[l] = echoes[2 * (first + places[l].voxel) + 1];
    }
  }
}

// Magnitudes of W voxels, from a real or complex echo.
template <int W, class Place>
FERRITIN_DEVICE void read_magnitude(const float* echoes, int is_complex, long long first, const Place* places,
                                    float* out) {
  if (!is_complex) {
    if (side_by_side<W>(places)) {
      const float* echo = echoes + first + places[0].voxel;
      FOR_LANES out[l] = absolute(echo[l]);
    } else {
      for (int l = 0; l < W; ++l) out[l] = absolute(echoes[first + places[l].voxel]);
    }
    return;
  }
  if (side_by_side<W>(places)) {
    const float* echo = echoes + 2 * (first + places[0].voxel);
    FOR_LANES out[l] = square_root(echo[2 * l] * echo[2 * l] + echo[2 * l + 1] * echo[2 * l + 1]);
  } else {
    Float<W> re, im;
    read_complex<W>(echoes, first, places, re.v, im.v);
    FOR_LANES out[l] = square_root(re[l] * re[l] + im[l] * im[l]);
  }
}

}  // namespace ferritin
