// The joint field estimator's steps behind a plain C interface; joint.py is the caller.
#include <vector>

#include "joint_settle.hpp"
#include "joint_tree.hpp"
#include "parallel.hpp"

#pragma GCC visibility push(default)
extern "C" {

void ferritin_joint_graph(const ferritin::JointGraphArgs* in, int) { ferritin::joint_graph(*in); }

void ferritin_joint_polar(const ferritin::JointPolarArgs* in, int threads) {
  ferritin::for_stretches(in->n, threads, [&](long long first, long long last) { ferritin::joint_polar(*in, first, last); });
}

void ferritin_joint_steps(const ferritin::JointStepsArgs* in, int threads) {
  const ferritin::Steps steps(*in, threads);
  ferritin::for_stretches(in->n, threads, [&](long long first, long long last) { steps.run(first, last); });
}

void ferritin_joint_grow(const ferritin::JointGrowArgs* in, int) { ferritin::joint_grow(*in); }

void ferritin_joint_linear(const ferritin::JointLinearArgs* in, int threads) {
  const ferritin::Linear linear(*in);
  const std::vector<float> start(in->field, in->field + in->n);
  ferritin::for_stretches(in->n, threads, [&](long long first, long long last) { linear.run(first, last, start.data()); });
}

void ferritin_joint_settle(const ferritin::JointSettleArgs* in, int threads) { ferritin::Settle(*in, threads).run(); }

}  // extern "C"
#pragma GCC visibility pop
