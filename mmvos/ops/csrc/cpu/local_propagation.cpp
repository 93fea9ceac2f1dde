// Local propagation, forward: products, the k largest over all references, softmax and readout in
// one walk; the volume of products never exists.
#include "propagation.h"
#include "tile.h"

namespace MMVOS_ISA {
namespace {

constexpr int64_t ROWS = 4;  // query rows that share each key row while it is in the cache
constexpr int64_t OUTSIDE = -(int64_t(1) << 30);  // code of candidates outside the map

// Running softmax of one cell: a lane of `total` and `sums` per column of the tile's vectors.
template <class A>
struct RunningSoftmax {
  A peak;
  Vec<A> total;
  Vec<A>* sums;  // per object

  void start(int64_t objects, Vec<A>* memory) {
    peak = -A(HUGE_VAL);
    total = Vec<A>{};
    sums = memory;
    for (int64_t o = 0; o < objects; ++o) sums[o] = Vec<A>{};
  }

  void raise(A to, int64_t objects) {
    const Vec<A> factor = exponential(fill(peak - to));  // exp(-inf) is 0
    total *= factor;
    for (int64_t o = 0; o < objects; ++o) sums[o] *= factor;
    peak = to;
  }

  // values: A[objects][width] of this row from the tile's first column, or null: all zero.
  void add(const A* logits, const uint32_t* allowed, int64_t count, A scale, const A* values,
           int64_t width, int64_t objects) {
    constexpr int L = LANES<A>;
    Vec<A> top = fill(-A(HUGE_VAL));
    for (int64_t i = 0; i < count; i += L) {
      const Vec<A> v = load<Vec<A>>(logits + i) * scale;
      const IntVec<A> higher = (v > top) & mask_of<A>(allowed[i / L]);
      top = higher ? v : top;
    }
    const A row_peak = largest<A>(top);
    if (row_peak > peak) raise(row_peak, objects);
    for (int64_t i = 0; i < count; i += L) {
      if (!allowed[i / L]) continue;
      const IntVec<A> mask = mask_of<A>(allowed[i / L]);
      const Vec<A> v = load<Vec<A>>(logits + i) * scale;
      // with a peak of -inf only -inf and NaN are here: the first weigh nothing
      Vec<A> weight = peak == -A(HUGE_VAL) ? keep<A>(v, v != v) : exponential(v - peak);
      weight = keep<A>(weight, mask);
      total += weight;
      if (values)
        for (int64_t o = 0; o < objects; ++o)  // masked: a value that is not looked at may be NaN
          sums[o] += keep<A>(weight * load<Vec<A>>(values + o * width + i), mask);
    }
  }
};

// Everything about one batch item without offsets.
template <class D>
struct Walk {
  typedef typename D::A A;
  typedef typename D::E E;
  static constexpr int L = LANES<A>;
  Sizes s;
  Columns columns;
  Rows<E> query, keys;
  Cells<A> cells;  // values for top-k
  Rows<A> values;  // values for all candidates
  Results<A> results;
  const A* zeros;  // logits of a key row outside the map
  uint32_t window[TILE][64];  // columns in each cell's window, a bit each

  int64_t vectors() const { return columns.count / L; }
  int64_t tile_bytes() const { return ROWS * query.groups * TILE * int64_t(sizeof(E)); }
  int64_t logit_bytes() const { return TILE * columns.count * int64_t(sizeof(A)); }

  // Calls visit(t, key row, query row, logits) for every pair in reach, near key rows first: they
  // hold the best matches, and after them little gets into a top-k buffer.
  template <class Visit>
  void pairs(int64_t y0, int64_t rows, int64_t x0, E* tiles, A* logits, Visit visit) const {
    for (int64_t r = 0; r < rows; ++r)
      take_tile(query, y0 + r, x0, tiles + r * query.groups * TILE);
    const int64_t last = y0 + rows - 1, centre = (y0 + last) / 2;
    for (int64_t t = 0; t < s.refs; ++t)
      for (int64_t i = 0; i <= 2 * (columns.radius + rows); ++i) {
        const int64_t row = centre + (i % 2 ? (i + 1) / 2 : -(i / 2));
        const bool in_map = row >= 0 && row < s.h;
        if (!in_map && s.mask) continue;
        for (int64_t y = y0; y <= last; ++y) {
          if (row < y - columns.radius || row > y + columns.radius) continue;
          if (in_map)
            dots<D>(tiles + (y - y0) * query.groups * TILE, keys.row(t * s.h + row) + x0,
                    query.groups, keys.width, logits, columns.count);
          visit(t, row, y - y0, in_map ? logits : zeros, in_map);
        }
      }
  }

  // Columns of the tile at x0 that count: with `mask`, those inside the map.
  uint32_t in_map(int64_t x0, int64_t vector) const {
    const int64_t x = x0 + vector * L - columns.radius;
    return s.mask ? Columns::range(-x, s.w - 1 - x, L) : ~0u;
  }

  static void top_task(void* args, int64_t unit, char* scratch) {
    static_cast<const Walk*>(args)->top_band(unit * ROWS, scratch);
  }
  static void all_task(void* args, int64_t unit, char* scratch) {
    static_cast<const Walk*>(args)->all_band(unit * ROWS, scratch);
  }

  int64_t top_bytes() const {
    return tile_bytes() + logit_bytes() + round_up(s.objects * int64_t(sizeof(A)), 64) +
           ROWS * TILE * round_up(TopK<A>::bytes(s.k), 64);
  }
  void top_band(int64_t y0, char* scratch) const {
    E* tiles = reinterpret_cast<E*>(scratch);
    A* logits = reinterpret_cast<A*>(scratch + tile_bytes());
    A* sums = reinterpret_cast<A*>(scratch + tile_bytes() + logit_bytes());
    char* buffers = reinterpret_cast<char*>(sums) + round_up(s.objects * int64_t(sizeof(A)), 64);
    const int64_t rows = s.h - y0 < ROWS ? s.h - y0 : ROWS;
    TopK<A> best[ROWS * TILE];
    for (int64_t x0 = 0; x0 < s.w; x0 += TILE) {
      for (int64_t i = 0; i < rows * TILE; ++i)
        best[i].start(s.k, buffers + i * round_up(TopK<A>::bytes(s.k), 64));
      pairs(y0, rows, x0, tiles, logits,
            [&](int64_t t, int64_t row, int64_t r, const A* found, bool real) {
              const int64_t code = real ? (t * s.h + row) * keys.width + x0 : OUTSIDE;
              for (int64_t q = 0; q < TILE; ++q)
                for (int64_t v = 0; v < vectors(); ++v)
                  best[r * TILE + q].offer(load<Vec<A>>(found + q * columns.count + v * L),
                                           window[q][v] & in_map(x0, v), Int<A>(code + v * L));
            });
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t q = 0; q < TILE && x0 + q < s.w; ++q)
          read_top(best[r * TILE + q], s, true, (y0 + r) * s.w + x0 + q, results, sums,
                   [&](Int<A> code, A weight) { add_value(code, weight, sums); });
    }
  }
  void add_value(Int<A> code, A weight, A* sums) const {
    if (code < 0) return;
    const uint32_t width = uint32_t(keys.width), row = uint32_t(code) / width;
    const int64_t x = int64_t(uint32_t(code) % width) - columns.radius;
    if (x < 0 || x >= s.w) return;
    const A* cell = cells.at(row, x);
    for (int64_t o = 0; o < s.objects; ++o) sums[o] += weight * cell[o];
  }

  int64_t all_bytes() const {
    return tile_bytes() + logit_bytes() + ROWS * TILE * s.objects * BYTES +
           round_up(s.objects * int64_t(sizeof(A)), 64);
  }
  void all_band(int64_t y0, char* scratch) const {
    E* tiles = reinterpret_cast<E*>(scratch);
    A* logits = reinterpret_cast<A*>(scratch + tile_bytes());
    Vec<A>* sums = reinterpret_cast<Vec<A>*>(scratch + tile_bytes() + logit_bytes());
    const int64_t rows = s.h - y0 < ROWS ? s.h - y0 : ROWS;
    RunningSoftmax<A> softmax[ROWS * TILE];
    for (int64_t x0 = 0; x0 < s.w; x0 += TILE) {
      for (int64_t i = 0; i < rows * TILE; ++i)
        softmax[i].start(s.objects, sums + i * s.objects);
      pairs(y0, rows, x0, tiles, logits,
            [&](int64_t t, int64_t row, int64_t r, const A* found, bool real) {
              const A* row_values = real ? values.row(t * s.h + row) + x0 : nullptr;
              uint32_t allowed[64];
              for (int64_t q = 0; q < TILE; ++q) {
                for (int64_t v = 0; v < vectors(); ++v) allowed[v] = window[q][v] & in_map(x0, v);
                softmax[r * TILE + q].add(found + q * columns.count, allowed, columns.count,
                                          A(s.scale), row_values, values.width, s.objects);
              }
            });
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t q = 0; q < TILE && x0 + q < s.w; ++q)
          finish(softmax[r * TILE + q], (y0 + r) * s.w + x0 + q,
                 reinterpret_cast<A*>(sums + ROWS * TILE * s.objects));
    }
  }
  void finish(RunningSoftmax<A>& softmax, int64_t cell, A* sums) const {
    const A all = sum<A>(softmax.total);
    if (!(all > 0)) return results.write_all(cell, s.objects, A(NAN), A(NAN));  // only -Inf, or NaN
    for (int64_t o = 0; o < s.objects; ++o) sums[o] = sum<A>(softmax.sums[o]);
    results.write(cell, sums, s.objects, 1 / all, softmax.peak + A(log(double(all))));
  }
};

template <class D>
void walk(const Map& query, const Map* keys, const Map* values,
          const Results<typename D::A>& results, Threads& threads, Walk<D>& job) {
  typedef typename D::A A;
  const Sizes& s = job.s;
  job.results = results;
  for (int64_t q = 0; q < TILE; ++q)
    for (int64_t v = 0; v < job.vectors(); ++v)
      job.window[q][v] = job.columns.window(q, v * LANES<A>, LANES<A>);
  pack_all(&query, 1, job.query, threads);
  pack_all(keys, s.refs, job.keys, threads);
  if (s.k) pack_all(values, s.refs, job.cells, threads);
  else pack_all(values, s.refs, job.values, threads);
  threads.run((s.h + ROWS - 1) / ROWS, size_t(s.k ? job.top_bytes() : job.all_bytes()),
              s.k ? Walk<D>::top_task : Walk<D>::all_task, &job);
}

template <class D>
Walk<D> prepare(const Sizes& s, int64_t radius, Threads& threads) {
  typedef typename D::A A;
  typedef typename D::E E;
  Walk<D> job;
  job.s = s;
  job.columns = Columns::of<A>(radius);
  if (job.vectors() > 64) mmvos::fail("the radius is too large for the compiled op");
  const int64_t groups = (s.channels + D::GROUP - 1) / D::GROUP;
  const int64_t width = job.columns.width(s.w, sizeof(E));
  const int64_t cells = s.refs * s.h * s.w;
  if (s.refs * s.h * width >= -OUTSIDE) mmvos::fail("the references have too many cells");
  job.query = {threads.allocate_array<E>(s.h * groups * round_up(s.w, TILE)), groups,
               round_up(s.w, TILE), 0};
  job.keys = {threads.allocate_array<E>(s.refs * s.h * groups * width), groups, width, radius};
  if (s.k) {
    job.cells = {threads.allocate_array<A>(cells * s.objects), s.w, s.objects};
  } else {
    const int64_t wide = job.columns.width(s.w, sizeof(A));
    job.values = {threads.allocate_array<A>(s.refs * s.h * s.objects * wide), s.objects, wide,
                  radius};
  }
  A* zeros = threads.allocate_array<A>(TILE * job.columns.count);
  memset(zeros, 0, size_t(TILE * job.columns.count) * sizeof(A));
  job.zeros = zeros;
  return job;
}

template <class D>
void on_grid(const MMVOSTensor& query, const MMVOSTensor& keys, const MMVOSTensor& values,
             MMVOSTensor& out, MMVOSTensor& lse, int radius, const Sizes& s, Threads& threads) {
  Walk<D> job = prepare<D>(s, radius, threads);
  Maps maps(s.refs, threads);
  for (int64_t b = 0; b < query.size[0]; ++b) {
    maps.set(query, keys, values, b);
    walk<D>(maps.query, maps.keys, maps.values, results_of<typename D::A>(out, lse, b), threads,
            job);
  }
}

}  // namespace

void propagation(const MMVOSTensor& query, const MMVOSTensor& keys, const MMVOSTensor& values,
                 const MMVOSTensor* offset, MMVOSTensor& out, MMVOSTensor& lse, int radius,
                 int topk, double scale, bool mask, Threads& threads) {
  const Sizes s{query.size[1], values.size[1], keys.size[2], query.size[2], query.size[3],
                topk, scale, mask};
  if (offset)
    propagation_with_offset(query, keys, values, *offset, out, lse, radius, s, threads);
  else if (query.type == MMVOS_F64)
    on_grid<PlainDot<double>>(query, keys, values, out, lse, radius, s, threads);
#if defined(__AVX512BF16__)
  else if (query.type == MMVOS_BF16)
    on_grid<BFloat16Dot>(query, keys, values, out, lse, radius, s, threads);
#endif
  else
    on_grid<PlainDot<float>>(query, keys, values, out, lse, radius, s, threads);
}

}  // namespace MMVOS_ISA
