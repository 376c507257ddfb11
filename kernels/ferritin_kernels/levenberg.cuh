// Levenberg-Marquardt over lanes: what every iterative fit shares. A fit supplies a Model; see monoexp.cuh.
#pragma once
#include "lanes.cuh"

namespace ferritin {

// Model<W> supplies: P parameters and K sums (the first is the cost: half the squared error, or a likelihood's minus
// logarithm), and
//   load(states)                      read the data of W voxels; sets `usable`
//   start(p)                          where to begin
//   evaluate(p, sums)                 the cost, its gradient and Gauss-Newton matrix at p
//   solve(k, p, sums, damping, trial) pack k's damped step; returns what it should take off twice the cost
//   rests(p, trial, tolerance), spread(k, sums)   whether the step is shorter than that; the noise variance as the cost
//   finish(p, sums), store(voxel, l, status), store(first voxel, status)    back to the units of the data, and out
template <int W, class Model>
struct Levenberg {
  static constexpr int P = Model::P, K = Model::K;

  // A voxel between two runs: where it stands and how far it has come.
  struct State {
    long long voxel;
    float p[P], sums[K];
    float damping, last, iterations;
  };

  using F = Pack<W>;

  Model model;
  Float<W> now[P], trial[P], at_now[K], at_trial[K];
  Float<W> damping, decrement, last;       // last: the decrement of the step before
  Float<W> moving, converged, iterations;  // the first two 0 or 1
  Int<W> status;
  const float tolerance;
  const int max_iterations;

  template <class Args>
  FERRITIN_DEVICE Levenberg(const Args& in, float* scratch)
      : model(in, scratch), tolerance(in.tolerance), max_iterations(in.max_iterations) {}

  // Advance the first `count` of W voxels until no more than `few` still move. Those that end are stored; the others
  // are left, in order, in `left` (which may be `places`): their step is not taken, they will solve again in company.
  // Returns their number. fresh: none of them has begun, and a place is no more than a Voxel.
  template <class Place>
  FERRITIN_DEVICE int run(const Place* places, int count, bool fresh, int few, State* left) {
    begin(places, fresh);
    int moves = turn<true>();
    while (moves > few) {
      model.evaluate(trial, at_trial);
      moves = turn<false>();
    }
    model.finish(now, at_now);
    FOR_LANES {
      const int done = static_cast<int>(iterations[l] - moving[l] + 128.f * converged[l]);
      status[l] = model.usable[l] > 0.f ? done : 0;
    }
    const long long first = places[0].voxel;
    if (count == W && side_by_side<W>(places)) {
      model.store(first, status);  // what still moves is stored again later
    } else {
      for (int l = 0; l < count; ++l)
        if (moving[l] == 0.f) model.store(places[l].voxel, l, status[l]);
    }
    return moves ? put_by(places, count, left) : 0;
  }

  template <class Place>
  FERRITIN_DEVICE int put_by(const Place* places, int count, State* left) const {
    int unfinished = 0;
    State waiting[W];
    for (int l = 0; l < count; ++l)
      if (moving[l] != 0.f) {
        State& s = waiting[unfinished++];
        s.voxel = places[l].voxel;
        for (int k = 0; k < P; ++k) s.p[k] = now[k][l];
        for (int k = 0; k < K; ++k) s.sums[k] = at_now[k][l];
        s.damping = damping[l];
        s.last = last[l];
        s.iterations = iterations[l] - 1.f;
      }
    for (int l = 0; l < unfinished; ++l) left[l] = waiting[l];
    return unfinished;
  }

  template <class Place>
  FERRITIN_DEVICE void begin(const Place* places, bool fresh) {
    model.load(places);
    if (fresh) {
      model.start(now);
      model.evaluate(now, at_now);
      FOR_LANES {
        damping[l] = 1e-3f;
        last[l] = iterations[l] = 0.f;
      }
    } else {
      resume(places);
    }
    FOR_LANES {
      moving[l] = model.usable[l];
      converged[l] = 0.f;
    }
  }

  FERRITIN_DEVICE void resume(const Voxel*) {}
  FERRITIN_DEVICE void resume(const State* states) {
    for (int l = 0; l < W; ++l) {
      for (int k = 0; k < P; ++k) now[k][l] = states[l].p[k];
      for (int k = 0; k < K; ++k) at_now[k][l] = states[l].sums[k];
      damping[l] = states[l].damping;
      last[l] = states[l].last;
      iterations[l] = states[l].iterations;
    }
  }

  // Keep what is better of where the lanes are and the trial (FIRST: there is none yet), and solve for the next trial.
  // Lanes whose step, or the one to follow it at the pace of the last two, is too small to matter take it and are done.
  // Returns how many others are moving.
  template <bool FIRST>
  FERRITIN_DEVICE int turn() {
    F moves{};
    const float small = 100.f * tolerance * tolerance;
    FOR_PACKS {
      F p[P], q[K], to[P], was = moving.pack(k), damp = damping.pack(k), before = last.pack(k);
      FERRITIN_UNROLL
      for (int i = 0; i < P; ++i) p[i] = now[i].pack(k);
      FERRITIN_UNROLL
      for (int i = 0; i < K; ++i) q[i] = at_now[i].pack(k);
      if constexpr (!FIRST) {
        const F cost = at_trial[0].pack(k);
        const auto better = cost <= q[0] + 1e-6f * absolute(q[0]);
        const auto take = better & (was > 0.f);
        FERRITIN_UNROLL
        for (int i = 0; i < P; ++i) p[i] = pick(take, trial[i].pack(k), p[i]);
        FERRITIN_UNROLL
        for (int i = 0; i < K; ++i) at_now[i].put(k, q[i] = pick(take, at_trial[i].pack(k), q[i]));
        was = pick(iterations.pack(k) < static_cast<float>(max_iterations), was, F{});
        before = pick(better, decrement.pack(k), before);
        damp = pick(better, maximum(0.25f * damp, 1e-7f), minimum(4.f * damp, 1e7f));
        last.put(k, before);
        damping.put(k, damp);
      }
      const F d = model.solve(k, p, q, damp, to), little = small * model.spread(k, q);
      const auto near = model.rests(p, to, tolerance) | (d <= little) |
                        ((d * d <= little * before) & (d <= 0.1f * before));
      const F ends = pick(near & (damp < 1.f), was, F{});
      FERRITIN_UNROLL
      for (int i = 0; i < P; ++i) {
        now[i].put(k, pick(ends > 0.f, to[i], p[i]));
        trial[i].put(k, to[i]);
      }
      decrement.put(k, d);
      iterations.put(k, iterations.pack(k) + was);
      converged.put(k, converged.pack(k) + ends);
      moving.put(k, was - ends);
      moves += was - ends;
    }
    return static_cast<int>(sum(moves));
  }
};

}  // namespace ferritin
