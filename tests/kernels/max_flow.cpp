// Least cut of a graph read from stdin: "nodes edges", then "a b forward backward" per edge, then a cost per node.
// Prints for each node whether it is on the source's side.
#include <cstdio>

#include "max_flow.hpp"

int main() {
  int nodes, edges;
  if (std::scanf("%d %d", &nodes, &edges) != 2) return 1;
  ferritin::MaxFlow flow(nodes);
  for (int k = 0; k < edges; ++k) {
    int a, b;
    float forward, backward;
    if (std::scanf("%d %d %f %f", &a, &b, &forward, &backward) != 4) return 1;
    flow.join(a, b, forward, backward);
  }
  for (int v = 0; v < nodes; ++v) {
    float cost;
    if (std::scanf("%f", &cost) != 1) return 1;
    flow.tie(v, cost);
  }
  flow.run();
  for (int v = 0; v < nodes; ++v) std::printf("%d\n", flow.on_source_side(v) ? 1 : 0);
}
