// Eight neighbouring cells of a row against the columns that their windows cover.
#pragma once
#include "pack.h"

namespace MMVOS_ISA {

constexpr int TILE = 8;  // with R = 12 they see 32 columns: two vectors of AVX-512, no waste

// Inner products in A of elements E.
template <class Acc>
struct PlainDot {
  typedef Acc A;
  typedef Acc E;
  static constexpr int GROUP = 1;  // channels per element
  static Vec<A> add(Vec<A> sum, Vec<A> x, A y) { return sum + x * y; }
  static Vec<A> columns(const E* p) { return load<Vec<A>>(p); }
  static A cell(const E* p) { return *p; }
};

#if defined(__AVX512BF16__)
struct BFloat16Dot {
  typedef float A;
  typedef uint32_t E;
  static constexpr int GROUP = 2;
  static Vec<A> add(Vec<A> sum, __m512i x, E y) {
    return (Vec<A>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)_mm512_set1_epi32(int(y)));
  }
  static __m512i columns(const E* p) { return _mm512_loadu_si512(p); }
  static E cell(const E* p) { return *p; }
};
#endif

// How a row of tiles lies over the columns of padded rows.
struct Columns {
  int64_t radius, side, count;  // count: columns of a tile, whole vectors
  template <class A>
  static Columns of(int64_t radius) {
    return {radius, 2 * radius + 1, round_up(TILE + 2 * radius, 2 * LANES<A>)};
  }
  // of rows that are read by tiles up to cell w - 1
  int64_t width(int64_t w, int64_t bytes) const {
    return spread(round_up(w, TILE) - TILE + count, bytes);
  }
  // Bit i: column `first` + i is in the window of cell q.
  uint32_t window(int64_t q, int64_t first, int lanes) const {
    return range(q - first, q + 2 * radius - first, lanes);
  }
  // Bits low..high, cut to 0..lanes-1.
  static uint32_t range(int64_t low, int64_t high, int lanes) {
    low = low < 0 ? 0 : low;
    high = high > lanes - 1 ? lanes - 1 : high;
    return low > high ? 0 : uint32_t((uint64_t(2) << high) - (uint64_t(1) << low));
  }
};

// cells: E[groups][TILE]; columns: E[groups][stride]; out: A[TILE][count].
template <class D>
inline void dots(const typename D::E* cells, const typename D::E* columns, int64_t groups,
                 int64_t stride, typename D::A* out, int64_t count) {
  typedef typename D::A A;
  constexpr int L = LANES<A>, CELLS = BYTES == 64 ? 8 : 4;  // sums stay in registers
  for (int64_t first = 0; first < count; first += 2 * L) {
#pragma GCC unroll 2
    for (int q = 0; q < TILE; q += CELLS) {
      Vec<A> sums[CELLS][2] = {};
      for (int64_t g = 0; g < groups; ++g) {
        const auto left = D::columns(columns + g * stride + first);
        const auto right = D::columns(columns + g * stride + first + L);
#pragma GCC unroll 8
        for (int i = 0; i < CELLS; ++i) {
          const auto cell = D::cell(cells + g * TILE + q + i);
          sums[i][0] = D::add(sums[i][0], left, cell);
          sums[i][1] = D::add(sums[i][1], right, cell);
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < CELLS; ++i) {
        store(out + (q + i) * count + first, sums[i][0]);
        store(out + (q + i) * count + first + L, sums[i][1]);
      }
    }
  }
}

// Copies cells x..x+TILE-1 of a packed row to E[groups][TILE].
template <class E>
inline void take_tile(const Rows<E>& rows, int64_t y, int64_t x, E* tile) {
  const E* source = rows.row(y) + rows.left + x;
  for (int64_t g = 0; g < rows.groups; ++g)
    memcpy(tile + g * TILE, source + g * rows.width, TILE * sizeof(E));
}

}  // namespace MMVOS_ISA
