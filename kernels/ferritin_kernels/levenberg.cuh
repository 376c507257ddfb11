// Levenberg-Marquardt over lanes: what every iterative fit shares. A fit supplies a Model; see monoexp.cuh.
#pragma once
#include "lanes.cuh"

namespace ferritin {

// Model<W> supplies: P parameters and K sums (the first is the cost: half the squared error, or a likelihood's minus
// logarithm), and
//   load(states)                      read the data of W voxels; sets `usable`
//   start(p)                          where to begin
//   evaluate(p, sums)                 the cost, its gradient and Gauss-Newton matrix at p
//   solve(p, sums, damping, trial, decrement)   one damped step; decrement: what it should take off twice the cost
//   moved(l, p, trial), spread(l, sums)         length of the step, and the noise variance in units of the cost
//   finish(p, sums), store(voxel, l, status)    back to the units of the data, and out
template <int W, class Model>
struct Levenberg {
  static constexpr int P = Model::P, K = Model::K;

  // A voxel between two runs: where it stands and how far it has come.
  struct State {
    long long voxel;
    float p[P];
    float damping, last;
    int iterations;
  };

  Model model;
  Float<W> now[P], trial[P], at_now[K], at_trial[K];
  Float<W> damping, decrement, last;  // last: the decrement of the step before
  Int<W> moving, converged, iterations;
  const float tolerance;
  const int max_iterations;

  template <class Args>
  FERRITIN_DEVICE Levenberg(const Args& in, float* scratch)
      : model(in, scratch), tolerance(in.tolerance), max_iterations(in.max_iterations) {}

  // Advance the first `count` of W voxels until no more than `few` still move. Those that end are stored; the others
  // are left, in order, in `left` (which may be `places`). Returns their number. fresh: none of them has begun, and a
  // place is no more than a Voxel.
  template <class Place>
  FERRITIN_DEVICE int run(const Place* places, int count, bool fresh, int few, State* left) {
    begin(places, fresh);
    while (step(few) > few) {
    }
    model.finish(now, at_now);
    const long long first = places[0].voxel;
    if (count == W && side_by_side<W>(places)) {
      FOR_LANES model.store(first + l, l, status(l));  // what still moves is stored again later
    } else {
      for (int l = 0; l < count; ++l)
        if (!moving[l]) model.store(places[l].voxel, l, status(l));
    }
    return count_moving() ? put_by(places, count, left) : 0;
  }

  template <class Place>
  FERRITIN_DEVICE int put_by(const Place* places, int count, State* left) const {
    int unfinished = 0;
    State waiting[W];
    for (int l = 0; l < count; ++l)
      if (moving[l]) {
        State& s = waiting[unfinished++];
        s.voxel = places[l].voxel;
        for (int k = 0; k < P; ++k) s.p[k] = now[k][l];
        s.damping = damping[l];
        s.last = last[l];
        s.iterations = iterations[l];
      }
    for (int l = 0; l < unfinished; ++l) left[l] = waiting[l];
    return unfinished;
  }

  FERRITIN_DEVICE int status(int l) const {
    const int done = iterations[l] | (converged[l] << 7);
    return model.usable[l] ? done : 0;
  }

  template <class Place>
  FERRITIN_DEVICE void begin(const Place* places, bool fresh) {
    model.load(places);
    if (fresh) {
      model.start(now);
      FOR_LANES {
        damping[l] = 1e-3f;
        last[l] = 0.f;
        iterations[l] = 0;
      }
    } else {
      resume(places);
    }
    FOR_LANES {
      moving[l] = model.usable[l];
      converged[l] = 0;
    }
    model.evaluate(now, at_now);
  }

  FERRITIN_DEVICE void resume(const Voxel*) {}
  FERRITIN_DEVICE void resume(const State* states) {
    for (int l = 0; l < W; ++l) {
      for (int k = 0; k < P; ++k) now[k][l] = states[l].p[k];
      damping[l] = states[l].damping;
      last[l] = states[l].last;
      iterations[l] = states[l].iterations;
    }
  }

  // Solve, evaluate there, keep what is better. Returns how many lanes are still moving; where these are no more than
  // `few`, their step is not taken: they will solve again in company.
  FERRITIN_DEVICE int step(int few) {
    model.solve(now, at_now, damping, trial, decrement);
    const int left = settle();
    if (left <= few) {
      FOR_LANES iterations[l] -= moving[l];
      return left;
    }
    model.evaluate(trial, at_trial);
    return accept();
  }

  // Lanes whose step, or the one to follow it at the pace of the last two, is too small to matter take it and are done.
  // Returns how many others are moving.
  FERRITIN_DEVICE int settle() {
    Int<W> ends;
    FOR_LANES {
      const float little = 100.f * tolerance * tolerance * model.spread(l, at_now), d = decrement[l];
      const bool next = (d * d <= little * last[l]) & (d <= 0.1f * last[l]);
      const bool near = (model.moved(l, now, trial) <= tolerance) | (d <= little) | next;
      const int was = moving[l], end = near & (damping[l] < 1.f) ? was : 0;
      ends[l] = end;
      iterations[l] += was;
      converged[l] |= end;
      moving[l] = was - end;
    }
    choose<P>(ends, trial, now);
    return count_moving();
  }

  FERRITIN_DEVICE int accept() {
    Int<W> take;
    FOR_LANES {
      const bool better = at_trial[0][l] <= at_now[0][l] + 1e-6f * absolute(at_now[0][l]);
      const int was = moving[l];
      take[l] = better ? was : 0;
      moving[l] = iterations[l] < max_iterations ? was : 0;
      last[l] = better ? decrement[l] : last[l];
      damping[l] = better ? maximum(0.25f * damping[l], 1e-7f) : minimum(4.f * damping[l], 1e7f);
    }
    choose<P>(take, trial, now);
    choose<K>(take, at_trial, at_now);
    return count_moving();
  }

  // to = from in the lanes that are chosen.
  template <int N>
  FERRITIN_DEVICE static void choose(const Int<W>& chosen, const Float<W>* from, Float<W>* to) {
    FERRITIN_UNROLL
    for (int k = 0; k < N; ++k) FOR_LANES {
        const float a = from[k][l], b = to[k][l];
        to[k][l] = chosen[l] ? a : b;
      }
  }

  FERRITIN_DEVICE int count_moving() const {
    int sum = 0;
    for (int l = 0; l < W; ++l) sum += moving[l];
    return sum;
  }
};

}  // namespace ferritin
