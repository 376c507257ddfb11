// The CPU's launch of every kernel: 16 lanes a group, threads over blocks of voxels, a plain C interface for ctypes.
// Built once per instruction set (CMakeLists.txt); cpu.py loads the best that the machine has.
#include "closed.cuh"
#include "complexfit.cuh"
#include "echoes.cuh"
#include "epg.cuh"
#include "grow.hpp"
#include "monoexp.cuh"
#include "parallel.hpp"
#include "phase.cuh"
#include "rows.hpp"
#include "variation.hpp"

using namespace ferritin;

template <bool GRADIENT>
static void monoexp(const MonoexpArgs& in, int threads) {
  const int lines = (GRADIENT ? 2 : 1) * in.n_echo;
  switch (in.model) {
    case MONOEXP_PLAIN: return fit<MonoexpFit<W, 0, MONOEXP_PLAIN, GRADIENT>>(in, lines, threads);
    case MONOEXP_SECOND: return fit<MonoexpFit<W, 0, MONOEXP_SECOND, GRADIENT>>(in, lines, threads);
    case MONOEXP_FIRST: return fit<MonoexpFit<W, 0, MONOEXP_FIRST, GRADIENT>>(in, lines, threads);
    case MONOEXP_FLOOR: return fit<MonoexpFit<W, 0, MONOEXP_FLOOR, GRADIENT>>(in, lines, threads);
  }
}

#pragma GCC visibility push(default)
extern "C" {

// 4, 3, or 1: the x86-64 level of this machine; 0 elsewhere.
int ferritin_cpu_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) return 1;
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return v4 ? 4 : 3;
#else
  return 0;
#endif
}

void ferritin_monoexp(const MonoexpArgs* in, int threads) {
  if (in->gradient_field) return monoexp<true>(*in, threads);
  monoexp<false>(*in, threads);
}

void ferritin_complexfit(const ComplexfitArgs* in, int threads) {
  const int lines = (in->gradient_field ? 3 : 2) * in->n_echo;
  if (in->bipolar && in->gradient_field) return fit<ComplexFit<W, 0, true, true>>(*in, lines, threads);
  if (in->bipolar) return fit<ComplexFit<W, 0, true, false>>(*in, lines, threads);
  if (in->gradient_field) return fit<ComplexFit<W, 0, false, true>>(*in, lines, threads);
  fit<ComplexFit<W, 0, false, false>>(*in, lines, threads);
}

void ferritin_closed(const ClosedArgs* in, int threads) {
  switch (in->form) {
    case CLOSED_LOG_LINEAR: return fit<Closed<W, 0, CLOSED_LOG_LINEAR>>(*in, in->n_echo, threads);
    case CLOSED_ARLO: return fit<Closed<W, 0, CLOSED_ARLO>>(*in, in->n_echo, threads);
    case CLOSED_NUMART: return fit<Closed<W, 0, CLOSED_NUMART>>(*in, in->n_echo, threads);
  }
}

void ferritin_epg(const EpgArgs* in, int threads) {
  const bool parts = in->n_part > 1, second = in->model == EPG_SECOND;
  const int lines = epg_lines(in->n_echo, in->n_skip, parts);
  if (parts && second) return fit<EpgFit<W, 0, 0, EPG_SECOND, true>>(*in, lines, threads);
  if (parts) return fit<EpgFit<W, 0, 0, EPG_PLAIN, true>>(*in, lines, threads);
  if (second) return fit<EpgFit<W, 0, 0, EPG_SECOND, false>>(*in, lines, threads);
  fit<EpgFit<W, 0, 0, EPG_PLAIN, false>>(*in, lines, threads);
}

void ferritin_romeo_weights(const RomeoWeightsArgs* in, int threads) {
  if (!in->magnitude) return romeo_weights<ROMEO_NO_MAGNITUDE>(*in, threads);
  if (!in->complex_magnitude) return romeo_weights<ROMEO_REAL>(*in, threads);
  romeo_weights<ROMEO_COMPLEX>(*in, threads);
}

void ferritin_romeo_grow(const RomeoGrowArgs* in, int) {
  if (3 * in->n_voxel < 0xffffffffLL) return Grower<std::uint32_t>(*in).run();
  Grower<std::uint64_t>(*in).run();
}

void ferritin_romeo_level(const RomeoLevelArgs* in, int) { romeo_level(*in); }

void ferritin_romeo_temporal(const RomeoTemporalArgs* in, int threads) {
  for_stretches(in->n_voxel, threads, [&](long long first, long long last) {
    for (int way = -1; way <= 1; way += 2)
      for (int e = in->reference + way; e >= 0 && e < in->n_echo; e += way) follow(*in, e, way, first, last);
    for (int e = 0; in->mask && e < in->n_echo; ++e)
      for (long long i = first; i < last; ++i) {
        float& p = in->phase[e * in->n_voxel + i];
        p = in->mask[i] ? p : 0.f;
      }
  });
}

void ferritin_stencil(const StencilArgs* in, int threads) {
  switch (in->stencil) {
    case STENCIL_GRADIENT: return stencil_rows<STENCIL_GRADIENT>(*in, threads);
    case STENCIL_DIVERGENCE: return stencil_rows<STENCIL_DIVERGENCE>(*in, threads);
    case STENCIL_LAPLACIAN: return stencil_rows<STENCIL_LAPLACIAN>(*in, threads);
  }
}

void ferritin_variation(const VariationArgs* in, int threads) {
  if (in->part == 0) in->radius ? variation<true>(*in, threads) : variation<false>(*in, threads);  // both parts in one
}

void ferritin_mean(const MeanArgs* in, int threads) { mean_rows(*in, threads); }

void ferritin_echoes(const EchoesArgs* in, int threads) {
  for_stretches(in->n_voxel, threads, [&](long long i, long long last) {
    for (; i + W <= last; i += W)
      in->unwrapped ? sum_echoes<W, true>(*in, i, in->n_echo) : sum_echoes<W, false>(*in, i, in->n_echo);
    for (; i < last; ++i)
      in->unwrapped ? sum_echoes<1, true>(*in, i, in->n_echo) : sum_echoes<1, false>(*in, i, in->n_echo);
  });
}

void ferritin_phase(const PhaseArgs* in, int threads) {
  for_stretches(in->n_voxel, threads, [&](long long first, long long last) {
#pragma omp simd
    for (long long i = first; i < last; ++i) phase_at(*in, i);
  });
}

}  // extern "C"
#pragma GCC visibility pop
