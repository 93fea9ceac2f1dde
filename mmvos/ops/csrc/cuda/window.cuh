// Windows around real positions. A feature between four cells is their bilinear mix, and so is its
// dot product with a query: dots at whole cells are taken once and mixed for every candidate.
#pragma once
#include "common.cuh"

namespace mmvos {

// A position on one axis: the cell at or before it, and how far it lies behind that.
struct Position {
  int cell;
  float rest;

  // Of start + by. What is not finite or absurdly far becomes far outside of any map.
  __device__ Position(int start, float by) {
    const float low = floorf(by);
    const bool sane = fabsf(low) < 5e8f;
    cell = sane ? start + static_cast<int>(low) : -(1 << 30);
    rest = sane ? by - low : 0.f;
  }
  // Whether it lies in [0, size - 1] after `steps` more cells.
  __device__ bool inside(int steps, int size) const {
    return within(cell + steps, rest > 0.f ? size - 1 : size);
  }
};

// A NaN of weight 0 counts, as in the reference in PyTorch.
__device__ inline float mix(float a, float b, float rest) {
  return (1.f - rest) * a + rest * b;
}

// Where the cells lie that a window needs along one axis: one behind another, or with dilation a
// pair for each candidate. Not `between`: positions are cells, which have no neighbours to mix.
struct Axis {
  int radius, dilation;
  bool between;

  __host__ __device__ int side() const { return 2 * radius + 1; }
  __host__ __device__ int count() const { return dilation == 1 ? side() + 1 : 2 * side(); }
  __device__ int first(int candidate) const { return dilation == 1 ? candidate : 2 * candidate; }
  __device__ int step(int i) const {  // from the cell of the position
    return dilation == 1 ? i - radius : (i / 2 - radius) * dilation + i % 2;
  }
};

// dots[i] = <query, key at row y and column x + axis.step(i)>, the key 0 outside; by one warp.
template <typename In>
__device__ void dot_row(float* dots, const In* query, int64_t query_step, const In* keys,
                        const Map<const In>& map, const Axis& axis, int y, int x, int channels,
                        int h, int w) {
  for (int i = lane_id(); i < axis.count(); i += LANES) {
    const int column = x + axis.step(i);
    const bool inside = within(y, h) && within(column, w);
    const int64_t place = y * map.y + column * map.x;
    float sum = 0.f;
#pragma unroll 4
    for (int c = 0; c < channels; ++c) {
      const float key = inside ? to_float(keys[place + c * map.c]) : 0.f;
      sum = fmaf(to_float(query[c * query_step]), key, sum);
    }
    dots[i] = sum;
  }
}

// Goes through a window row by row: after next(), at(i) is the logit of its i-th candidate.
// Needs 2 * axis.count() floats.
template <typename In>
struct Sweep {
  float* dots;
  const In* query;
  int64_t query_step;
  const In* keys;
  const Map<const In>& map;
  Axis axis;
  Position y, x;
  int channels, h, w;
  int row = -1;

  __device__ void fill(int i) {
    dot_row(dots + i % 2 * axis.count(), query, query_step, keys, map, axis,
            y.cell + axis.step(i), x.cell, channels, h, w);
  }
  __device__ void next() {
    const int first = axis.first(++row);
    __syncwarp();  // all have used the rows before
    if (row == 0 || axis.dilation > 1 || !axis.between) fill(first);
    if (axis.between) fill(first + 1);
    __syncwarp();
  }
  __device__ float at(int candidate) const {
    const int first = axis.first(row), i = axis.first(candidate);
    const float* upper = dots + first % 2 * axis.count() + i;
    if (!axis.between) return upper[0];
    const float* lower = dots + (first + 1) % 2 * axis.count() + i;
    return mix(mix(upper[0], upper[1], x.rest), mix(lower[0], lower[1], x.rest), y.rest);
  }
};

}  // namespace mmvos
