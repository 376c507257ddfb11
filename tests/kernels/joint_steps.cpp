// All steps of the joint estimator on random samples, for the sanitizers: argv = nx ny nz echoes seed.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "joint_settle.hpp"
#include "joint_tree.hpp"

int main(int, char** argv) {
  using namespace ferritin;
  const int nx = std::atoi(argv[1]), ny = std::atoi(argv[2]), nz = std::atoi(argv[3]), n_echo = std::atoi(argv[4]);
  std::mt19937 random(static_cast<unsigned>(std::atoi(argv[5])));
  std::normal_distribution<float> normal;
  const long long total = static_cast<long long>(nx) * ny * nz;
  std::vector<unsigned char> mask(total);
  int n = 0;
  for (auto& m : mask) n += m = random() % 4 != 0;
  std::vector<float> echoes(2 * total * n_echo), te(n_echo);
  for (auto& s : echoes) s = random() % 50 ? 5 * normal(random) : random() % 2 ? NAN : INFINITY;
  for (int e = 0; e < n_echo; ++e) te[e] = 0.004f + 0.005f * e;
  std::vector<int> voxel(n), neighbour(6LL * n), group(n_echo), region(n), counts(2);
  std::vector<float> phase(n * n_echo), power(n * n_echo), step(3 * n), growth(n), field(n), offset(4 * n), variance(n), wrong(n);
  std::vector<unsigned char> cost(3 * n, 255);
  joint_graph({mask.data(), voxel.data(), neighbour.data(), total, n, nx, ny, nz});
  joint_polar({echoes.data(), voxel.data(), phase.data(), power.data(), total, n, n_echo}, 0, n);
  const JointStepsArgs steps{phase.data(), power.data(), neighbour.data(), te.data(), step.data(), cost.data(), n, n_echo, 29, 100, 1};
  Steps(steps, 3).run(0, n);
  for (int v = 0; v < n; ++v) growth[v] = wrapped(phase[v * n_echo + 1] - phase[v * n_echo]);
  joint_grow({step.data(), cost.data(), neighbour.data(), growth.data(), region.data(), n, 0.005f});
  for (int v = 0; v < n; ++v) field[v] = growth[v] / (TURN * 0.005f);
  for (int e = 0; e < n_echo; ++e) group[e] = n_echo > 3 ? e % 2 : 0;
  const JointLinearArgs linear{phase.data(), power.data(), neighbour.data(), te.data(), group.data(), field.data(),
                               offset.data(), n, n_echo, n_echo > 3 ? 2 : 1, 1, 0.01f};
  Linear(linear).run(0, n, std::vector<float>(field).data());
  const JointSettleArgs settle{phase.data(), power.data(), neighbour.data(), te.data(), region.data(),
                               field.data(), variance.data(), wrong.data(), counts.data(), n, n_echo, 0.005f, 1};
  Settle(settle, 3).run();
  for (int v = 0; v < n; ++v)
    if (!std::isfinite(field[v]) || !(variance[v] > 0) || !(wrong[v] >= 0 && wrong[v] <= 1)) return 2;
  std::printf("%d voxels, %d solved anew\n", n, counts[0]);
}
