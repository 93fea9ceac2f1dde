// Local correlation, forward: the volume of products of each cell with its window.
#include "correlation.h"

namespace MMVOS_ISA {
namespace {

// One row of the output at the grid's own positions; vectors run along x, so that every distance
// dx, dilated or not, is one load.
template <class A>
struct GridForward {
  static constexpr int L = LANES<A>;
  Grid<A> grid;
  A* out;  // A[side * side][h][w] of this batch item

  static void task(void* args, int64_t y, char* scratch) {
    static_cast<const GridForward*>(args)->row(y, reinterpret_cast<A*>(scratch));
  }
  void row(int64_t y, A* zeros) const {
    const Rows<A>&query = grid.query, &key = grid.key;
    memset(zeros, 0, size_t(key.groups * key.width) * sizeof(A));
    for (int64_t dy = 0; dy < grid.side; ++dy) {
      const int64_t py = y + (dy - grid.radius) * grid.dilation;
      // a row outside the map is zeros too: zero times a NaN of the query is NaN everywhere
      const A* keys = py >= 0 && py < grid.key_h ? key.row(py) : zeros;
      for (int64_t x = 0; x < grid.w; x += L) {
        const A* k = keys + key.left + x - grid.radius * grid.dilation;
        const A* q = query.row(y) + query.left + x;
        int64_t dx = 0;
        for (; dx + 8 <= grid.side; dx += 8) positions<8>(q, k, y, x, dy, dx);
        for (; dx + 2 <= grid.side; dx += 2) positions<2>(q, k, y, x, dy, dx);
        if (dx < grid.side) positions<1>(q, k, y, x, dy, dx);
      }
    }
  }
  template <int N>
  void positions(const A* q, const A* k, int64_t y, int64_t x, int64_t dy, int64_t dx) const {
    Vec<A> sums[N] = {};
    for (int64_t c = 0; c < grid.query.groups; ++c) {
      const Vec<A> cell = load<Vec<A>>(q + c * grid.query.width);
      const A* keys = k + c * grid.key.width + dx * grid.dilation;
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) sums[i] += cell * load<Vec<A>>(keys + i * grid.dilation);
    }
    const int64_t lanes = grid.w - x < L ? grid.w - x : L;
    for (int i = 0; i < N; ++i)
      memcpy(out + ((dy * grid.side + dx + i) * grid.h + y) * grid.w + x, &sums[i],
             size_t(lanes) * sizeof(A));
  }
};

template <class A>
struct CoordsForward {
  Scattered<A> at;
  A* out;

  static void task(void* args, int64_t y, char* scratch) {
    const CoordsForward& job = *static_cast<CoordsForward*>(args);
    for (int64_t x = 0; x < job.at.w; ++x) job.cell(y, x, reinterpret_cast<A*>(scratch));
  }
  void cell(int64_t y, int64_t x, A* products) const {
    const Window<A> here = at.placed(y, x);
    const int64_t area = here.side * here.side;
    A* mixed = products + here.corners * here.corners;
    if (here.anywhere) {
      here.products(at.query.at(y, x), at.key, 0, at.key_h, products);
      here.mix(products, mixed);
    } else {
      memset(mixed, 0, size_t(area) * sizeof(A));
    }
    for (int64_t d = 0; d < area; ++d) out[(d * at.h + y) * at.w + x] = mixed[d];
  }
};

template <class A>
void run(const MMVOSTensor& query, const MMVOSTensor& key, const MMVOSTensor* coords,
         MMVOSTensor& out, int radius, int dilation, Threads& threads) {
  const int64_t item = out.size[1] * out.size[2] * out.size[3];
  A* target = static_cast<A*>(out.data);
  if (coords) {
    CoordsForward<A> job{Scattered<A>::of(query, key, *coords, radius, dilation, threads), target};
    for (int64_t b = 0; b < query.size[0]; ++b, job.out += item) {
      job.at.pack(query, key, b, threads);
      threads.run(job.at.h, job.at.scratch(), CoordsForward<A>::task, &job);
    }
    return;
  }
  GridForward<A> job{Grid<A>::of(query, key, radius, dilation, threads), target};
  for (int64_t b = 0; b < query.size[0]; ++b, job.out += item) {
    job.grid.pack(query, key, b, threads);
    threads.run(job.grid.h, size_t(job.grid.key.groups * job.grid.key.width) * sizeof(A),
                GridForward<A>::task, &job);
  }
}

}  // namespace

void correlation(const MMVOSTensor& query, const MMVOSTensor& key, const MMVOSTensor* coords,
                 MMVOSTensor& out, int radius, int dilation, Threads& threads) {
  (query.type == MMVOS_F64 ? run<double> : run<float>)(query, key, coords, out, radius, dilation,
                                                       threads);
}

}  // namespace MMVOS_ISA
