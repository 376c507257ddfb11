// Maximum flow from a source to a sink, by shortest augmenting paths in level graphs.
// Dinic EA. Soviet Math Doklady 1970;11:1277.
#pragma once
#include <algorithm>
#include <vector>

namespace ferritin {

// Nodes 0..n-1 are the caller's, all joined to source or sink by `tie`. After run(), the source's side of the least cut
// is what `on_source_side` tells.
class MaxFlow {
 public:
  explicit MaxFlow(int n) : source_(n), sink_(n + 1), first_(n + 2, -1), level_(n + 2), at_(n + 2) {
    halves_.reserve(8LL * n);  // a grid's
  }

  void join(int a, int b, float forward, float backward) {
    half(a, b, forward);
    half(b, a, backward);
  }

  // Cost of being on the sink's side when positive, of being on the source's side when negative.
  void tie(int a, float cost) {
    if (cost > 0) join(source_, a, cost, 0);
    if (cost < 0) join(a, sink_, -cost, 0);
  }

  void run() {
    while (mark_levels()) {
      at_ = first_;
      fill_paths();
    }
  }

  bool on_source_side(int a) const { return level_[a] >= 0; }

 private:
  static constexpr float EMPTY = 1e-5f;
  struct Half {
    int to, next;
    float room;
  };

  void half(int a, int b, float room) {
    halves_.push_back({b, first_[a], room});
    first_[a] = static_cast<int>(halves_.size()) - 1;
  }

  bool mark_levels() {
    std::fill(level_.begin(), level_.end(), -1);
    order_.assign(1, source_);
    level_[source_] = 0;
    for (size_t k = 0; k < order_.size() && level_[sink_] < 0; ++k)
      for (int h = first_[order_[k]]; h >= 0; h = halves_[h].next)
        if (halves_[h].room > EMPTY && level_[halves_[h].to] < 0) {
          level_[halves_[h].to] = level_[order_[k]] + 1;
          order_.push_back(halves_[h].to);
        }
    return level_[sink_] >= 0;
  }

  // Paths from the source to the sink in the level graph, filled one after the other; the next begins where the last
  // one became full. Dead ends are left behind for good.
  void fill_paths() {
    path_.clear();
    for (int v = source_;;) {
      if (v == sink_) {
        v = fill();
        continue;
      }
      int& h = at_[v];
      while (h >= 0 && !(halves_[h].room > EMPTY && level_[halves_[h].to] == level_[v] + 1)) h = halves_[h].next;
      if (h >= 0) {
        path_.push_back(h);
        v = halves_[h].to;
      } else {
        if (path_.empty()) return;
        v = halves_[path_.back() ^ 1].to;
        at_[v] = halves_[path_.back()].next;
        path_.pop_back();
      }
    }
  }

  // Fill the path and cut it where it became full first; the node there.
  int fill() {
    float room = halves_[path_[0]].room;
    for (const int h : path_) room = std::min(room, halves_[h].room);
    size_t full = path_.size();
    for (size_t k = path_.size(); k-- > 0;) {
      halves_[path_[k]].room -= room;
      halves_[path_[k] ^ 1].room += room;
      if (halves_[path_[k]].room <= EMPTY) full = k;
    }
    const int node = halves_[path_[full] ^ 1].to;
    path_.resize(full);
    return node;
  }

  const int source_, sink_;
  std::vector<int> first_, level_, at_, order_, path_;
  std::vector<Half> halves_;
};

}  // namespace ferritin
