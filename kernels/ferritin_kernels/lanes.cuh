// What every kernel shares: W voxels ("lanes") advance together, W = 1 in a CUDA thread, W = 16 in a CPU vector.
//
// A kernel is written once as loops over its lanes (FOR_LANES), without branches, so that g++ turns each loop into
// vector instructions and NVRTC into one scalar. A lane that has converged is frozen by a select, so that no voxel's
// result depends on the voxels that happen to share its vector. The elementary functions are polynomials of our own
// (least maximum error by Lawson's weights): they vectorise, and they give CPU and GPU the same numbers.
#pragma once

#if defined(__CUDACC__)
#define FERRITIN_DEVICE __device__ __forceinline__
#define FERRITIN_UNROLL _Pragma("unroll")
#define FOR_LANES for (int l = 0; l < W; ++l)
#else
#include <cstring>
#define FERRITIN_DEVICE inline __attribute__((always_inline))
#define FERRITIN_UNROLL
#define FOR_LANES _Pragma("omp simd") for (int l = 0; l < W; ++l)
#endif

namespace ferritin {

// One float, or one int, per lane.
template <int W>
struct alignas(W * sizeof(float)) Float {
  float v[W];
  FERRITIN_DEVICE float& operator[](int l) { return v[l]; }
  FERRITIN_DEVICE const float& operator[](int l) const { return v[l]; }
};
template <int W>
struct alignas(W * sizeof(int)) Int {
  int v[W];
  FERRITIN_DEVICE int& operator[](int l) { return v[l]; }
  FERRITIN_DEVICE const int& operator[](int l) const { return v[l]; }
};

FERRITIN_DEVICE float bits_to_float(int i) {
#if defined(__CUDACC__)
  return __int_as_float(i);
#else
  float f;
  std::memcpy(&f, &i, 4);
  return f;
#endif
}

FERRITIN_DEVICE int float_to_bits(float f) {
#if defined(__CUDACC__)
  return __float_as_int(f);
#else
  int i;
  std::memcpy(&i, &f, 4);
  return i;
#endif
}

FERRITIN_DEVICE float minimum(float a, float b) { return a < b ? a : b; }
FERRITIN_DEVICE float maximum(float a, float b) { return a > b ? a : b; }
FERRITIN_DEVICE float clamp(float x, float lo, float hi) { return minimum(maximum(x, lo), hi); }
FERRITIN_DEVICE float absolute(float x) { return bits_to_float(float_to_bits(x) & 0x7fffffff); }
FERRITIN_DEVICE bool is_finite(float x) { return (float_to_bits(x) & 0x7f800000) != 0x7f800000; }

// sqrt of the hardware, rounded to nearest on both sides.
FERRITIN_DEVICE float square_root(float x) {
#if defined(__CUDACC__)
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}

// Nearest integer of |x| < 2^22, ties to even, as a float: adding 1.5 * 2^23 pushes the fraction out of the mantissa.
FERRITIN_DEVICE float nearest(float x) { return (x + 12582912.f) - 12582912.f; }

// e^x, relative error below 2e-7; 0 below -87, e^88 above 88.
FERRITIN_DEVICE float exponential(float x) {
  const float c = clamp(x, -87.f, 88.f);
  const float k = nearest(c * 1.442695041f);
  const float r = (c - k * 0.693359375f) + k * 2.12194440e-4f;
  float q = 8.312480064e-3f;
  q = q * r + 4.189055468e-2f;
  q = q * r + 1.666711630e-1f;
  q = q * r + 4.999922879e-1f;
  const float e = (q * r * r + r) + 1.f;
  return x < -87.f ? 0.f : e * bits_to_float((static_cast<int>(k) + 127) << 23);
}

// ln x for x > 0 (normal numbers), absolute error below 1e-7 + 6e-8 |ln x|.
FERRITIN_DEVICE float logarithm(float x) {
  const int bits = float_to_bits(x) - 0x3f3504f3;  // sqrt(1/2): the mantissa falls into [sqrt(1/2), sqrt(2))
  const int k = bits >> 23;
  const float m = bits_to_float((bits & 0x007fffff) + 0x3f3504f3);
  const float s = (m - 1.f) / (m + 1.f);
  const float u = s * s;
  float q = 2.996415673e-1f;
  q = q * u + 3.997349474e-1f;
  q = q * u + 6.666681763e-1f;
  const float kf = static_cast<float>(k);
  return (q * u * s + 2.f * s) + kf * -2.12194440e-4f + kf * 0.693359375f;
}

// Sine and cosine of an angle in turns (1 turn = 2 pi), |turns| < 2^20; absolute error below 2e-7 of the turns given.
FERRITIN_DEVICE void sine_cosine(float turns, float& sine, float& cosine) {
  const float r = turns - nearest(turns);
  const float quarter = nearest(4.f * r);
  const float s = r - 0.25f * quarter;
  const float u = s * s;
  float p = -7.539947995e1f;
  p = p * u + 8.159250298e1f;
  p = p * u - 4.134166240e1f;
  p = p * u + 6.283185288f;
  p = p * s;
  float q = 5.924397682e1f;
  q = q * u - 8.544368949e1f;
  q = q * u + 6.493932607e1f;
  q = q * u - 1.973920869e1f;
  q = q * u + 1.f;
  const int k = static_cast<int>(quarter);
  const float a = (k & 1) ? q : p;
  const float b = (k & 1) ? p : q;
  sine = (k & 2) ? -a : a;
  cosine = ((k + 1) & 2) ? -b : b;
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
  const float octant = p * r * 0.159154943f;
  const float quadrant = ay > ax ? 0.25f - octant : octant;
  const float half = x < 0.f ? 0.5f - quadrant : quadrant;
  return y < 0.f ? -half : half;
}

}  // namespace ferritin
