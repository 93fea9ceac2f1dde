// Copies of the inputs in the order in which the kernels walk through them.
#pragma once
#include "simd.h"
#include "threads.h"

namespace MMVOS_ISA {

using mmvos::Threads;

struct BFloat16 {
  uint16_t high;
};
inline float number(float x) { return x; }
inline double number(double x) { return x; }
inline float number(BFloat16 x) {
  const uint32_t all = uint32_t(x.high) << 16;
  float out;
  memcpy(&out, &all, sizeof out);
  return out;
}

// (n,h,w) of one batch item or reference, any strides.
struct Map {
  const char* data;
  int32_t type;
  int64_t n, h, w, sn, sy, sx;
};

inline Map map_of(const MMVOSTensor& t, int axis_n, int64_t start) {  // the last two axes are h, w
  static const int64_t bytes[] = {4, 8, 2, 2};
  const int y = t.ndim - 2, x = t.ndim - 1;
  return {static_cast<const char*>(t.data) + start * bytes[t.type], t.type,
          t.size[axis_n], t.size[y], t.size[x], t.stride[axis_n], t.stride[y], t.stride[x]};
}

// Calls f with a typed pointer to the first element of row y.
template <class F>
inline void with_row(const Map& m, int64_t y, F f) {
  if (m.type == MMVOS_F64) f(reinterpret_cast<const double*>(m.data) + y * m.sy);
  else if (m.type == MMVOS_BF16) f(reinterpret_cast<const BFloat16*>(m.data) + y * m.sy);
  else f(reinterpret_cast<const float*>(m.data) + y * m.sy);
}

// Width of a padded row, such that neighbouring rows do not fall on one another in the cache.
inline int64_t spread(int64_t width, int64_t bytes) {
  const int64_t line = 64 / bytes;
  width = round_up(width, line);
  return width / line % 2 ? width : width + line;
}

// Rows of maps: E[h][groups][width], column `left` holds x = 0, zero outside the map.
// A group is one channel, or with E = uint32_t two bfloat16 channels side by side.
template <class E>
struct Rows {
  E* data;
  int64_t groups, width, left;
  E* row(int64_t y) const { return data + y * groups * width; }
};

template <class A>
inline void pack_row(const Map& m, int64_t y, const Rows<A>& rows, int64_t to) {
  memset(rows.row(to), 0, size_t(rows.groups * rows.width) * sizeof(A));
  with_row(m, y, [&](const auto* source) {
    for (int64_t n = 0; n < m.n; ++n) {
      A* target = rows.row(to) + n * rows.width + rows.left;
      const auto* line = source + n * m.sn;
      if (m.sx == 1)  // a loop of its own, which compilers turn into vectors
        for (int64_t x = 0; x < m.w; ++x) target[x] = A(number(line[x]));
      else
        for (int64_t x = 0; x < m.w; ++x) target[x] = A(number(line[x * m.sx]));
    }
  });
}

template <>
inline void pack_row<uint32_t>(const Map& m, int64_t y, const Rows<uint32_t>& rows, int64_t to) {
  memset(rows.row(to), 0, size_t(rows.groups * rows.width) * sizeof(uint32_t));
  const BFloat16* source = reinterpret_cast<const BFloat16*>(m.data) + y * m.sy;
  for (int64_t n = 0; n < m.n; ++n) {
    uint32_t* target = rows.row(to) + n / 2 * rows.width + rows.left;
    const BFloat16* line = source + n * m.sn;
    const int shift = n % 2 * 16;
    if (m.sx == 1)
      for (int64_t x = 0; x < m.w; ++x) target[x] |= uint32_t(line[x].high) << shift;
    else
      for (int64_t x = 0; x < m.w; ++x) target[x] |= uint32_t(line[x * m.sx].high) << shift;
  }
}

// Cells of maps: A[h][w][n], a cell's channels side by side, filled up with zeros to `n`.
template <class A>
struct Cells {
  A* data;
  int64_t w, n;
  const A* at(int64_t y, int64_t x) const { return data + (y * w + x) * n; }
};

template <class A>
inline void pack_cells(const Map& m, int64_t y, const Cells<A>& cells, int64_t to) {
  A* row = cells.data + to * cells.w * cells.n;
  memset(row, 0, size_t(cells.w * cells.n) * sizeof(A));
  with_row(m, y, [&](const auto* source) {
    for (int64_t n = 0; n < m.n; ++n)
      for (int64_t x = 0; x < m.w; ++x)
        row[x * cells.n + n] = A(number(source[n * m.sn + x * m.sx]));
  });
}

// Packs the rows of `count` maps one below another, in parallel.
template <class Packed>
struct PackJob {
  const Map* maps;
  Packed to;
  template <class E>
  static void write(const Map& m, int64_t y, const Rows<E>& to, int64_t unit) {
    pack_row<E>(m, y, to, unit);
  }
  template <class A>
  static void write(const Map& m, int64_t y, const Cells<A>& to, int64_t unit) {
    pack_cells<A>(m, y, to, unit);
  }
  static void task(void* args, int64_t unit, char*) {
    const PackJob& job = *static_cast<PackJob*>(args);
    const int64_t h = job.maps[0].h;
    write(job.maps[unit / h], unit % h, job.to, unit);
  }
};

template <class Packed>
inline void pack_all(const Map* maps, int64_t count, const Packed& to, Threads& threads) {
  PackJob<Packed> job{maps, to};
  threads.run(count * maps[0].h, 0, PackJob<Packed>::task, &job);
}

}  // namespace MMVOS_ISA
