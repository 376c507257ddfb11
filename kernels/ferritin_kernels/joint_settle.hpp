// The field from phases without offset: fitted everywhere, then solved anew where it is doubtful, first by growth with
// prediction, then by minimum cuts over whole turns.
#pragma once
#include "grow.hpp"
#include "joint_samples.hpp"
#include "max_flow.hpp"
#include "parallel.hpp"

namespace ferritin {

class Settle {
 public:
  Settle(const JointSettleArgs& args, int threads)
      : in_(args), samples_(args), threads_(threads), slope_(args.n), known_(args.n), place_(args.n, -1) {}

  void run() {
    each([&](int v) { slope_[v] = samples_.slope(v, in_.field); });
    std::vector<float> fitted(in_.n);
    each([&](int v) { fitted[v] = fit(v, in_.field[v], 1 / square(DOUBT * period())); });
    std::copy(fitted.begin(), fitted.end(), in_.field);
    each([&](int v) { slope_[v] = samples_.slope(v, in_.field); });
    mark_known();
    regrow();
    each([&](int v) { slope_[v] = samples_.slope(v, in_.field); });
    in_.counts[1] = cut();
    each([&](int v) { slope_[v] = samples_.slope(v, in_.field); });
    each([&](int v) { in_.wrong[v] = known_[v] == SURE ? 0.f : chance_of_wrong_turn(v); });
    each([&](int v) { finish(v, in_.wrong[v]); });
  }

 private:
  enum : unsigned char { UNKNOWN, SOLVED, SURE };
  static constexpr float DOUBT = 0.25f;      // of the period: sd of the field that comes in
  static constexpr float STEEP = 0.25f;      // of the period per voxel: from here on a voxel is solved anew
  static constexpr float PREDICTION = 0.03f; // of the period: least sd of a prediction from neighbours
  static constexpr float BEND = 0.5f;        // of the slope: how far a prediction may miss
  static constexpr float MARGIN = 5;         // log-likelihood that makes one voxel certain
  static constexpr float SMOOTH = 20;        // weight of the squared step, in periods, between neighbours

  // Hz by which a field can be mistaken when its offset is known.
  float period() const { return 1 / in_.te[0]; }

  template <class Work>
  void each(Work work) const {
    for_stretches(in_.n, threads_, [&](long long first, long long last) {
      for (long long v = first; v < last; ++v) work(static_cast<int>(v));
    });
  }

  float fit(int v, float start, float certainty) const {
    float weight[MAX_ECHOES], information;
    samples_.precision(v, slope_[v], weight);
    const float* phase = samples_.phases(v);
    return least_squares(samples_, phase, weight, follow_echoes(samples_, phase, weight, start, certainty, 0), &information);
  }

  // Sure voxels: gentle slope, signal, and phases that fit; of each region of the mask the largest piece of them.
  void mark_known() {
    each([&](int v) {
      float weight[MAX_ECHOES], sum = 0;
      samples_.precision(v, slope_[v], weight);
      for (int e = 0; e < in_.n_echo; ++e) sum += weight[e];
      const bool fits = misfit(samples_, samples_.phases(v), weight, in_.field[v]) < 2 * in_.n_echo;
      known_[v] = slope_[v] < STEEP * period() && sum > 10 && fits ? SURE : UNKNOWN;
    });
    std::vector<int> piece(in_.n, 0), stack, size(1, 0), largest;
    for (int seed = 0; seed < in_.n; ++seed) {
      if (known_[seed] != SURE || piece[seed]) continue;
      const int now = static_cast<int>(size.size());
      size.push_back(0);
      piece[seed] = now;
      for (stack.assign(1, seed); !stack.empty();) {
        const int v = stack.back();
        stack.pop_back();
        ++size[now];
        for (int way = 0; way < 6; ++way)
          if (const int w = samples_.next(v, way); w >= 0 && known_[w] == SURE && !piece[w]) {
            piece[w] = now;
            stack.push_back(w);
          }
      }
    }
    for (int v = 0; v < in_.n; ++v) {
      const size_t r = in_.region[v];
      if (largest.size() <= r) largest.resize(r + 1, 0);
      if (size[piece[v]] > size[largest[r]]) largest[r] = piece[v];
    }
    for (int v = 0; v < in_.n; ++v)
      if (piece[v] != largest[in_.region[v]]) known_[v] = UNKNOWN;
    in_.counts[0] = static_cast<int>(std::count(known_.begin(), known_.end(), UNKNOWN));
  }

  // ---- growth with prediction

  struct Prediction {
    float field, sd, slope;
  };

  // From each solved neighbour the field goes on as it came from the one behind it.
  Prediction predict(int v) const {
    float value[6], weight[6], sum = 0, mean = 0, steepest[3] = {0, 0, 0};
    int n = 0;
    for (int way = 0; way < 6; ++way) {
      const int w = samples_.next(v, way);
      if (w < 0 || !known_[w]) continue;
      const int behind = samples_.next(w, way);
      const bool goes_on = behind >= 0 && known_[behind];
      const float step = goes_on ? in_.field[w] - in_.field[behind] : 0.f;
      steepest[way / 2] = std::max(steepest[way / 2], std::fabs(step));
      value[n] = in_.field[w] + step;
      weight[n] = goes_on ? 1.f : 0.4f;
      sum += weight[n];
      mean += weight[n] * value[n];
      ++n;
    }
    mean /= sum;
    float scatter = 0;
    for (int k = 0; k < n; ++k) scatter += weight[k] / sum * square(value[k] - mean);
    const float slope = std::sqrt(square(steepest[0]) + square(steepest[1]) + square(steepest[2]));
    const float sd = PREDICTION * period() + BEND * slope + std::sqrt(scatter);
    return {mean, n == 1 ? 1.5f * sd : sd, slope};
  }

  // The field at a voxel, of three turns of the first echo the one that echoes and prediction agree on best.
  float solve(int v, const Prediction& p, float* margin) const {
    float weight[MAX_ECHOES], best = p.field, least = 1e30f, second = 1e30f;
    samples_.precision(v, p.slope, weight);
    const float* phase = samples_.phases(v);
    const float turns = TURN * in_.te[0], w = weight[0] * turns * turns, prior = 1 / square(p.sd);
    const float nearest = p.field + wrapped(phase[0] - turns * p.field) / turns;
    for (int k = -1; k <= 1; ++k) {
      const float first = nearest + k * period();
      const float start = (prior * p.field + w * first) / (prior + w);
      const float field = follow_echoes(samples_, phase, weight, start, prior + w, 1);
      float cost = 0.5f * square(field - p.field) * prior + misfit(samples_, phase, weight, field);
      if (std::fabs(turns * (first - field)) > TURN / 2) cost += 2 * weight[0];  // left the turn it started from
      if (cost < least) {
        if (std::fabs(field - best) > 1) second = std::min(second, least);
        least = cost;
        best = field;
      } else if (std::fabs(field - best) > 1) {
        second = std::min(second, cost);
      }
    }
    *margin = second - least;
    return best;
  }

  static unsigned char cost_of(float margin) { return static_cast<unsigned char>(255 * std::exp(-margin / MARGIN)); }

  // The voxel whose answer is surest comes next. One that has become less sure while it waited goes back, a few times.
  void regrow() {
    constexpr int PATIENCE = 3;
    Buckets<int> queue;
    std::vector<unsigned char> sent_back(in_.n, 0);
    float margin;
    auto offer = [&](int v) {
      solve(v, predict(v), &margin);
      queue.push(cost_of(margin), v);
    };
    for (int v = 0; v < in_.n; ++v) {
      bool at_edge = false;
      for (int way = 0; way < 6 && !known_[v]; ++way) at_edge |= samples_.next(v, way) >= 0 && known_[samples_.next(v, way)];
      if (at_edge) offer(v);
    }
    for (int v; queue.pop(v);) {
      if (known_[v]) continue;
      const float field = solve(v, predict(v), &margin);
      if (cost_of(margin) > queue.lowest() + 2 && sent_back[v]++ < PATIENCE) {
        queue.push(cost_of(margin), v);
        continue;
      }
      in_.field[v] = field;
      known_[v] = SOLVED;
      for (int way = 0; way < 6; ++way)
        if (const int w = samples_.next(v, way); w >= 0 && !known_[w]) offer(w);
    }
  }

  // ---- minimum cuts

  // Cost of a field at a voxel by itself, after it has settled near there.
  float alone(int v, float near, float* field) const {
    float weight[MAX_ECHOES], information;
    samples_.precision(v, slope_[v], weight);
    *field = least_squares(samples_, samples_.phases(v), weight, near, &information);
    return misfit(samples_, samples_.phases(v), weight, *field);
  }

  float trust(int v) const {
    const float noise = square(in_.noise_sd), signal = std::max(in_.power[static_cast<long long>(v) * in_.n_echo] - 2 * noise, 0.f);
    return signal / (signal + 9 * noise + 1e-30f) + 0.01f;
  }

  float between(int v, int w, float field_v, float field_w) const {
    return SMOOTH * std::min(trust(v), trust(w)) * square((field_v - field_w) / period());
  }

  // Shift sets of doubtful voxels by whole turns while that lowers the energy: each shift is the best possible, a
  // minimum cut (Bioucas-Dias & Valadao, IEEE Trans Image Process 2007;16:698). Pieces do not see each other.
  int cut() {
    std::vector<std::vector<int>> pieces;
    std::vector<int> stack;
    for (int seed = 0; seed < in_.n; ++seed) {
      if (known_[seed] != SOLVED || place_[seed] >= 0) continue;
      pieces.emplace_back();
      place_[seed] = 0;
      for (stack.assign(1, seed); !stack.empty();) {
        const int v = stack.back();
        stack.pop_back();
        place_[v] = static_cast<int>(pieces.back().size());
        pieces.back().push_back(v);
        for (int way = 0; way < 6; ++way)
          if (const int w = samples_.next(v, way); w >= 0 && known_[w] == SOLVED && place_[w] < 0) {
            place_[w] = 0;
            stack.push_back(w);
          }
      }
    }
    std::vector<int> moved(pieces.size(), 0);
    parallel(static_cast<long long>(pieces.size()), threads_, [&] { return [&](long long k) { moved[k] = cut_piece(pieces[k]); }; });
    int sum = 0;
    for (const int m : moved) sum += m;
    return sum;
  }

  // A turn that a voxel may be shifted by, and what is known of it: the field there, its cost, and whether both are of now.
  struct Turn {
    float by;
    std::vector<float> field, cost;
    std::vector<unsigned char> known;
  };

  int cut_piece(const std::vector<int>& piece) {
    constexpr int ROUNDS = 10;
    const size_t m = piece.size();
    std::vector<Turn> turns;
    for (const float lapse : {in_.te[0], in_.lapse})
      if (turns.empty() || std::fabs(in_.te[0] - lapse) >= 1e-3f * in_.te[0])
        for (const float sign : {1.f, -1.f}) turns.push_back({sign / lapse, std::vector<float>(m), std::vector<float>(m), std::vector<unsigned char>(m)});
    turns.push_back({0, std::vector<float>(m), std::vector<float>(m), std::vector<unsigned char>(m)});
    const size_t kinds = turns.size() - 1;
    int moved = 0;
    for (size_t k = 0, idle = 0; k < ROUNDS * kinds && idle < kinds; ++k) {
      const int now = shift(piece, turns, turns[k % kinds]);
      moved += now;
      idle = now ? 0 : idle + 1;
    }
    return moved;
  }

  // alone() of a piece's k-th voxel shifted by a turn.
  void look_up(int v, int k, Turn& turn) const {
    if (turn.known[k]) return;
    turn.known[k] = 1;
    turn.cost[k] = alone(v, in_.field[v] + turn.by, &turn.field[k]);
  }

  int shift(const std::vector<int>& piece, std::vector<Turn>& turns, Turn& turn) {
    const int m = static_cast<int>(piece.size());
    const std::vector<float>& moved = turn.field;
    std::vector<float> gain(m);  // cost when shifted less cost when not
    bool hopeful = false;
    for (int k = 0; k < m; ++k) {
      const int v = piece[k];
      look_up(v, k, turns.back());
      look_up(v, k, turn);
      gain[k] = turn.cost[k] - turns.back().cost[k];
      hopeful |= gain[k] < -0.5f;
      for (int way = 0; way < 6; ++way)
        if (const int w = samples_.next(v, way); w >= 0) hopeful |= std::fabs(in_.field[v] - in_.field[w]) > 0.49f * std::fabs(turn.by);
    }
    if (!hopeful) return 0;  // no single step would become smaller, so no set of shifts can pay
    MaxFlow flow(m);
    for (int k = 0; k < m; ++k)
      for (int way = 0; way < 6; ++way) {
        const int v = piece[k], w = samples_.next(v, way);
        if (w < 0) continue;
        if (known_[w] != SOLVED) {
          gain[k] += between(v, w, moved[k], in_.field[w]) - between(v, w, in_.field[v], in_.field[w]);
        } else if (way & 1) {
          const int j = place_[w];
          const float none = between(v, w, in_.field[v], in_.field[w]), both = between(v, w, moved[k], moved[j]);
          const float only_v = between(v, w, moved[k], in_.field[w]), only_w = between(v, w, in_.field[v], moved[j]);
          gain[k] += only_v - none;
          gain[j] += both - only_v;
          flow.join(j, k, std::max(only_v + only_w - none - both, 0.f), 0);  // paid when w moves and v stays
        }
      }
    for (int k = 0; k < m; ++k) flow.tie(k, -gain[k]);  // the source's side is what moves
    flow.run();
    int count = 0;
    for (int k = 0; k < m; ++k)
      if (flow.on_source_side(k)) {
        in_.field[piece[k]] = moved[k];
        for (Turn& t : turns) t.known[k] = 0;
        ++count;
      }
    return count;
  }

  // ---- the end

  float chance_of_wrong_turn(int v) const {
    float here, least = 1e30f;
    float now = alone(v, in_.field[v], &here);
    for (int way = 0; way < 6; ++way)
      if (const int w = samples_.next(v, way); w >= 0) now += between(v, w, here, in_.field[w]);
    for (const float by : {period(), -period()}) {
      float there, cost = alone(v, in_.field[v] + by, &there);
      for (int way = 0; way < 6; ++way)
        if (const int w = samples_.next(v, way); w >= 0) cost += between(v, w, there, in_.field[w]);
      least = std::min(least, cost - now);
    }
    return 1 / (1 + std::exp(std::min(least, 80.f)));
  }

  // sd [Hz] of what lies between a voxel's own field and that of its signal, where most of the voxel is empty: the field
  // jumps at the surface of tissue.
  float jump(int v) const {
    constexpr float EMPTY = 1.5f;  // [ppm]
    float most = 0;
    for (int way = 0; way < 6; ++way)
      if (const int w = samples_.next(v, way); w >= 0) most = std::max(most, in_.power[static_cast<long long>(w) * in_.n_echo]);
    const float share = std::sqrt(in_.power[static_cast<long long>(v) * in_.n_echo] / (most + 1e-30f));
    return EMPTY * in_.hz_per_ppm * std::max(0.f, 1 - 2 * share);
  }

  // The last fit; a voxel that was solved from its neighbours is held there as firmly as they could tell.
  void finish(int v, float wrong) const {
    float weight[MAX_ECHOES], information;
    samples_.precision(v, slope_[v], weight);
    const float prior = known_[v] == SURE ? 0.f : 1 / square(PREDICTION * period() + BEND * slope_[v]);
    const float field = least_squares(samples_, samples_.phases(v), weight, in_.field[v], &information);
    const float both = information + prior + 1e-30f, share = information / both;
    in_.field[v] += (field - in_.field[v]) * share;
    in_.variance[v] = square(share) * samples_.field_variance(v, slope_[v], weight, in_.hz_per_ppm) + prior / square(both) +
                      wrong * square(period()) + (known_[v] == SURE ? 0.f : square(jump(v)));
  }

  const JointSettleArgs& in_;
  const Samples samples_;
  const int threads_;
  std::vector<float> slope_;
  std::vector<unsigned char> known_;
  std::vector<int> place_;
};

}  // namespace ferritin
