// Contract of the joint field estimator: argument records of its steps, on the voxels of a mask as a graph. CPU only:
// growth and cuts are serial. Meaning: joint.py; launched by joint.cpp.
#pragma once
#include <cmath>

namespace ferritin {

constexpr int MAX_ECHOES = 64;
constexpr float TURN = 6.283185307f;

// The mask's voxels in the order of memory: their places, and the list positions of their neighbours
// (-x, +x, -y, +y, -z, +z), -1 for none.
struct JointGraphArgs {
  const unsigned char* mask;
  int* voxel;
  int* neighbour;
  long long n_total;
  int n;
  int nx;
  int ny;
  int nz;
};

// Phase [rad] and power |S|^2 of the mask's voxels, voxel by voxel.
struct JointPolarArgs {
  const float* echoes;
  const int* voxel;
  float* phase;
  float* power;
  long long n_total;
  int n;
  int n_echo;
};

// Field step [Hz] along each edge (voxel, axis), and its cost from 1 (sure) to 255.
struct JointStepsArgs {
  const float* phase;
  const float* power;
  const int* neighbour;
  const float* te;
  float* step;
  unsigned char* cost;
  int n;
  int n_echo;
  int n_trial;
  float reach;
  float noise_sd;
};

// Unwrap the phase `growth`, 2 pi field lapse, in place from voxel to voxel along the cheapest edges.
struct JointGrowArgs {
  const float* step;
  const unsigned char* cost;
  const int* neighbour;
  float* growth;
  int* region;
  int n;
  float lapse;
};

// Refine a field by a linear fit with one free offset per group of echoes; give each group's offset as a phasor whose
// length says how far it can be trusted.
struct JointLinearArgs {
  const float* phase;
  const float* power;
  const int* neighbour;
  const float* te;
  const int* group;
  float* field;
  float* offset;
  int n;
  int n_echo;
  int n_group;
  float noise_sd;
  float dephased;
};

// Fit the field to phases without offset, solve doubtful voxels anew from their neighbours, and tell its variance and
// the chance that a turn is wrong.
struct JointSettleArgs {
  const float* phase;
  const float* power;
  const int* neighbour;
  const float* te;
  const int* region;
  float* field;
  float* variance;
  float* wrong;
  int* counts;
  int n;
  int n_echo;
  float lapse;
  float noise_sd;
  float hz_per_ppm;
};

}  // namespace ferritin
