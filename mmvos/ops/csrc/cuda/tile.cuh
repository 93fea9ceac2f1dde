// Tiles for windows around a grid of cells: a block owns WARPS rows of OWN neighbouring cells, a
// warp has one of these rows. The cells around them pass through shared memory in groups of ROWS
// rows by 32 columns, a lane has one column.
#pragma once
#include <float.h>

#include "common.cuh"

namespace mmvos {

constexpr int WARPS = 4;
constexpr int OWN = 8;
constexpr int CELLS = WARPS * OWN;
constexpr int THREADS = WARPS * LANES;
constexpr int PITCH = LANES + 1;  // no bank conflict, be the lanes columns or channels
static_assert(CELLS == LANES, "stage_own loads one cell per lane");

// Which tile a block has: its upper left cell, and what else its number says.
struct Tile {
  int y, x, rest;

  __device__ Tile(int h, int w) {
    const int across = (w + OWN - 1) / OWN, down = (h + WARPS - 1) / WARPS;
    const int index = blockIdx.x;
    x = index % across * OWN;
    y = index / across % down * WARPS;
    rest = index / across / down;
  }
};

inline int64_t count_tiles(int h, int w) { return ceil_div(h, WARPS) * ceil_div(w, OWN); }

// A group of staged cells: its upper left one, which may lie outside of the map.
struct Group {
  int row, column;

  __device__ bool outside(int rows, int h, int w) const {
    return row + rows <= 0 || row >= h || column + LANES <= 0 || column >= w;
  }
};

__device__ inline int count_groups(int radius, int rows) {
  return (WARPS + 2 * radius + rows - 1) / rows;
}
__device__ inline int count_columns(int radius) { return (OWN + 2 * radius + LANES - 1) / LANES; }

// own[c][cell] of channels 0..count of the tile whose maps begin at source.
template <typename In>
__device__ void stage_own(float* own, const In* source, const Map<const In>& map, const Tile& tile,
                          int count, int h, int w) {
  const int y = tile.y + lane_id() / OWN, x = tile.x + lane_id() % OWN;
  const bool inside = y < h && x < w;
  const int64_t cell = y * map.y + x * map.x;
  for (int c = warp_id(); c < count; c += WARPS) {
    own[c * CELLS + lane_id()] = inside ? to_float(source[cell + c * map.c]) : 0.f;
  }
}

// A part of a group on its way to shared memory. Lanes lie side by side in memory, be they columns
// or channels; a warp takes every WARPS-th line of the other axis.
template <int ROWS, typename In>
struct Lines {
  const In* source;           // of line 0 and row 0 for this lane
  int64_t row_step, step;     // from row to row, from line to line
  float* place;               // likewise
  int row_pitch, pitch;
  int count, from, to;        // lines; those beside from..to lie outside
  int first_row, rows;        // of the group, of the map
  bool inside;                // whether the lane's cells are in the map at all

  // True if one of the numbers is not finite.
  __device__ bool copy() const {
    const In* cells[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) cells[r] = source + r * row_step + warp_id() * step;
    const int64_t stride = WARPS * step;
    bool strange = false;
#pragma unroll 2
    for (int i = warp_id(); i < count; i += WARPS) {
      const bool reads = inside && i >= from && i < to;
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        float value = 0.f;
        if (reads && within(first_row + r, rows)) value = to_float(*cells[r]);
        place[i * pitch + r * row_pitch] = value;
        strange |= !(fabsf(value) <= FLT_MAX);
        cells[r] += stride;
      }
    }
    return strange;
  }
};

// rows[r][c][column] of channels 0..count, 0 outside of the map; true if this thread met a number
// that is not finite.
template <int ROWS, int CHUNK, typename In>
__device__ bool stage_rows(float* rows, const In* source, const Map<const In>& map,
                           const Group& group, int count, int h, int w) {
  const int lane = lane_id(), x = group.column;
  Lines<ROWS, In> lines;
  lines.source = source + group.row * map.y + x * map.x;
  lines.row_step = map.y;
  lines.row_pitch = CHUNK * PITCH;
  lines.first_row = group.row;
  lines.rows = h;
  if (map.c != 1 || map.x == 1) {
    lines.source += lane * map.x;
    lines.step = map.c;
    lines.place = rows + lane;
    lines.pitch = PITCH;
    lines.from = 0;
    lines.count = lines.to = count;
    lines.inside = within(x + lane, w);
    return lines.copy();
  }
  // channels last
  lines.step = map.x;
  lines.pitch = 1;
  lines.count = LANES;
  lines.from = -x;
  lines.to = w - x;
  bool strange = false;
  const In* first = lines.source;
  for (int c = lane; c < count; c += LANES) {  // shared memory beyond count is not read
    lines.source = first + c;
    lines.place = rows + c * PITCH;
    lines.inside = true;
    strange |= lines.copy();
  }
  return strange;
}

__device__ inline void multiply_add(float (&sum)[OWN], float x, const float4& a, const float4& b) {
  sum[0] = fmaf(x, a.x, sum[0]);
  sum[1] = fmaf(x, a.y, sum[1]);
  sum[2] = fmaf(x, a.z, sum[2]);
  sum[3] = fmaf(x, a.w, sum[3]);
  sum[4] = fmaf(x, b.x, sum[4]);
  sum[5] = fmaf(x, b.y, sum[5]);
  sum[6] = fmaf(x, b.z, sum[6]);
  sum[7] = fmaf(x, b.w, sum[7]);
}

// sum[r][q] += <own cell q of the warp, staged cell (r, lane)>. A form for tensor cores would take
// the place of this function and of store_scores, the layout of which asks nothing of the lanes.
template <int ROWS, int CHUNK>
__device__ inline void add_dots(float (&sum)[ROWS][OWN], const float* own, const float* rows,
                                int count) {
  const float4* queries = reinterpret_cast<const float4*>(own + warp_id() * OWN);
  const float* keys = rows + lane_id();
#pragma unroll 4
  for (int c = 0; c < count; ++c) {
    const float4 a = queries[c * (CELLS / 4)], b = queries[c * (CELLS / 4) + 1];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      multiply_add(sum[r], keys[(r * CHUNK + c) * PITCH], a, b);
    }
  }
}

// scores[r][column][q], of one warp.
template <int ROWS>
__device__ inline void store_scores(float* scores, const float (&sum)[ROWS][OWN]) {
  float4* place = reinterpret_cast<float4*>(scores + lane_id() * OWN);
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    place[r * LANES * 2] = make_float4(sum[r][0], sum[r][1], sum[r][2], sum[r][3]);
    place[r * LANES * 2 + 1] = make_float4(sum[r][4], sum[r][5], sum[r][6], sum[r][7]);
  }
}

}  // namespace mmvos
