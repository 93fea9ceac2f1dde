// Local propagation, backward, over all candidates: with p the softmax and g the gradient of the
// result, d value = p g, d logit = p (g value - g result), and the products are computed again.
// Two walks, around queries and around keys, so that no two threads add to one place.
#include "kernels.h"
#include "tile.h"

namespace MMVOS_ISA {
namespace {

template <class A>
struct Packed {  // of one batch item
  Columns columns;
  int64_t channels, objects, refs, h, w;
  A scale;
  Rows<A> query, grad;   // h rows
  Rows<A> keys, values;  // refs * h rows
  Rows<A> lse, mean;     // h rows: log of the softmax's sum; gradient times result
};

// Gradients of the eight cells at (y, x0) of one side from all rows of the other side in reach.
template <class A, bool TO_KEYS>
struct Walk {
  static constexpr int L = LANES<A>;
  Packed<A> p;
  A *first, *second;  // A[channels][h][w] of query, or [channels][refs][h][w] of keys and of values
  uint32_t window[TILE][64];

  int64_t vectors() const { return p.columns.count / L; }
  int64_t logits() const { return TILE * p.columns.count; }
  int64_t numbers() const { return p.channels + (TO_KEYS ? p.objects : 0); }
  size_t scratch() const {
    return size_t(2 * logits() + (p.channels + p.objects) * TILE) * sizeof(A) +
           size_t(numbers() * TILE) * BYTES;
  }
  static void task(void* args, int64_t unit, char* scratch) {
    const Walk& walk = *static_cast<Walk*>(args);
    for (int64_t x0 = 0; x0 < walk.p.w; x0 += TILE) walk.tile(unit, x0, scratch);
  }
  // unit: a row of the query, or of all references one below another
  void tile(int64_t unit, int64_t x0, char* scratch) const {
    Vec<A>* sums = reinterpret_cast<Vec<A>*>(scratch);
    A* weight = reinterpret_cast<A*>(sums + numbers() * TILE);
    A *slope = weight + logits(), *cells = slope + logits(), *extra = cells + p.channels * TILE;
    take_tile(TO_KEYS ? p.keys : p.query, unit, x0, cells);
    take_tile(TO_KEYS ? p.values : p.grad, unit, x0, extra);
    for (int64_t i = 0; i < numbers() * TILE; ++i) sums[i] = Vec<A>{};
    const int64_t y = unit % p.h, top = y - p.columns.radius, end = y + p.columns.radius + 1;
    for (int64_t t = 0; t < (TO_KEYS ? 1 : p.refs); ++t)
      for (int64_t row = top < 0 ? 0 : top; row < end && row < p.h; ++row) {
        const int64_t other = TO_KEYS ? row : t * p.h + row;
        const Rows<A>&columns = TO_KEYS ? p.query : p.keys, &others = TO_KEYS ? p.grad : p.values;
        dots<PlainDot<A>>(cells, columns.row(other) + x0, p.channels, columns.width, weight,
                          p.columns.count);
        dots<PlainDot<A>>(extra, others.row(other) + x0, p.objects, others.width, slope,
                          p.columns.count);
        slopes(TO_KEYS ? row : y, x0, weight, slope);
        add(slope, columns.row(other) + x0, p.channels, columns.width, sums);
        if (TO_KEYS)
          add(weight, others.row(other) + x0, p.objects, others.width, sums + p.channels * TILE);
      }
    write(sums, p.channels, unit, x0, first);
    if (TO_KEYS) write(sums + p.channels * TILE, p.objects, unit, x0, second);
  }
  // From logits and g value to the softmax p and d logit.
  void slopes(int64_t query_row, int64_t x0, A* weight, A* slope) const {
    const A *lse = p.lse.row(query_row) + x0, *mean = p.mean.row(query_row) + x0;
    for (int64_t q = 0; q < TILE; ++q)
      for (int64_t v = 0; v < vectors(); ++v) {
        const int64_t i = q * p.columns.count + v * L;
        const IntVec<A> mask = mask_of<A>(window[q][v]);
        const Vec<A> base = TO_KEYS ? load<Vec<A>>(lse + v * L) : fill(lse[p.lse.left + q]);
        const Vec<A> shift = TO_KEYS ? load<Vec<A>>(mean + v * L) : fill(mean[p.mean.left + q]);
        Vec<A> power = load<Vec<A>>(weight + i) * p.scale - base;
        power = power > 0 ? Vec<A>{} : power;  // outside the map, where nothing reads it
        const Vec<A> share = keep<A>(exponential(power), mask);
        store(weight + i, share);
        store(slope + i, keep<A>(share * (load<Vec<A>>(slope + i) - shift) * p.scale, mask));
      }
  }
  // sums[n][TILE] += factors[TILE][count] times columns[n][width], a lane per column of a vector
  void add(const A* factors, const A* columns, int64_t n, int64_t width, Vec<A>* sums) const {
    for (int64_t c = 0; c < n; ++c) {
      Vec<A> here[TILE];
      memcpy(here, sums + c * TILE, sizeof here);
      for (int64_t v = 0; v < vectors(); ++v) {
        const Vec<A> column = load<Vec<A>>(columns + c * width + v * L);
#pragma GCC unroll 8
        for (int q = 0; q < TILE; ++q)
          here[q] += load<Vec<A>>(factors + q * p.columns.count + v * L) * column;
      }
      memcpy(sums + c * TILE, here, sizeof here);
    }
  }
  void write(const Vec<A>* sums, int64_t n, int64_t unit, int64_t x0, A* out) const {
    const int64_t rows = TO_KEYS ? p.refs * p.h : p.h;
    for (int64_t c = 0; c < n; ++c)
      for (int64_t q = 0; q < TILE && x0 + q < p.w; ++q)
        out[(c * rows + unit) * p.w + x0 + q] = sum<A>(sums[c * TILE + q]);
  }
  void run(int64_t units, Threads& threads) {
    for (int64_t q = 0; q < TILE; ++q)
      for (int64_t v = 0; v < vectors(); ++v) window[q][v] = p.columns.window(q, v * L, L);
    threads.run(units, scratch(), task, this);
  }
};

template <class A>
Packed<A> prepare(const MMVOSTensor& keys, int64_t objects, int64_t radius, double scale,
                  Threads& threads) {
  Packed<A> p{Columns::of<A>(radius), keys.size[1], objects, keys.size[2], keys.size[3],
              keys.size[4], A(scale), {}, {}, {}, {}, {}, {}};
  if (p.columns.count / LANES<A> > 64) mmvos::fail("the radius is too large for the compiled op");
  const int64_t width = p.columns.width(p.w, sizeof(A));
  const auto rows = [&](int64_t count, int64_t n) {
    return Rows<A>{threads.allocate_array<A>(count * n * width), n, width, radius};
  };
  p.query = rows(p.h, p.channels), p.grad = rows(p.h, objects);
  p.keys = rows(p.refs * p.h, p.channels), p.values = rows(p.refs * p.h, objects);
  p.lse = rows(p.h, 1), p.mean = rows(p.h, 1);
  return p;
}

// lse and mean of one batch item; outside the map nothing has weight: lse is infinite.
template <class A>
void pack_sums(const Packed<A>& p, const MMVOSTensor& grad, const MMVOSTensor& out,
               const MMVOSTensor& lse, int64_t b) {
  const int64_t cells = p.h * p.w, width = p.lse.width;
  const A* g = static_cast<const A*>(grad.data) + b * p.objects * cells;
  const A* o = static_cast<const A*>(out.data) + b * p.objects * cells;
  const A* l = static_cast<const A*>(lse.data) + b * cells;
  for (int64_t y = 0; y < p.h; ++y)
    for (int64_t i = 0; i < width; ++i) {
      const int64_t x = i - p.lse.left, cell = y * p.w + x;
      const bool inside = x >= 0 && x < p.w;
      A mean = 0;
      for (int64_t k = 0; inside && k < p.objects; ++k)
        mean += g[k * cells + cell] * o[k * cells + cell];
      p.mean.row(y)[i] = mean;
      p.lse.row(y)[i] = inside ? l[cell] : A(HUGE_VAL);
    }
}

template <class A>
void pack_item(const Packed<A>& p, const MMVOSTensor& grad, const MMVOSTensor& query,
               const MMVOSTensor& keys, const MMVOSTensor& values, int64_t b, Map* maps,
               Threads& threads) {
  maps[0] = map_of(query, 1, b * query.stride[0]);
  pack_all(maps, 1, p.query, threads);
  maps[0] = map_of(grad, 1, b * grad.stride[0]);
  pack_all(maps, 1, p.grad, threads);
  for (int64_t t = 0; t < p.refs; ++t)
    maps[t] = map_of(keys, 1, b * keys.stride[0] + t * keys.stride[2]);
  pack_all(maps, p.refs, p.keys, threads);
  for (int64_t t = 0; t < p.refs; ++t)
    maps[t] = map_of(values, 1, b * values.stride[0] + t * values.stride[2]);
  pack_all(maps, p.refs, p.values, threads);
}

template <class A>
void backward(const MMVOSTensor& grad, const MMVOSTensor& query, const MMVOSTensor& keys,
              const MMVOSTensor& values, const MMVOSTensor& out, const MMVOSTensor& lse,
              MMVOSTensor& grad_query, MMVOSTensor& grad_keys, MMVOSTensor& grad_values,
              int radius, double scale, Threads& threads) {
  const Packed<A> p = prepare<A>(keys, values.size[1], radius, scale, threads);
  Map* maps = threads.allocate_array<Map>(p.refs);
  const int64_t cells = p.h * p.w;
  for (int64_t b = 0; b < query.size[0]; ++b) {
    pack_item(p, grad, query, keys, values, b, maps, threads);
    pack_sums(p, grad, out, lse, b);
    Walk<A, false> to_query{
        p, static_cast<A*>(grad_query.data) + b * p.channels * cells, nullptr, {}};
    to_query.run(p.h, threads);
    Walk<A, true> to_keys{
        p, static_cast<A*>(grad_keys.data) + b * p.channels * p.refs * cells,
        static_cast<A*>(grad_values.data) + b * p.objects * p.refs * cells, {}};
    to_keys.run(p.refs * p.h, threads);
  }
}

}  // namespace

void propagation_backward(const MMVOSTensor& grad, const MMVOSTensor& query,
                          const MMVOSTensor& keys, const MMVOSTensor& values,
                          const MMVOSTensor& out, const MMVOSTensor& lse,
                          MMVOSTensor& grad_query, MMVOSTensor& grad_keys,
                          MMVOSTensor& grad_values, int radius, double scale, Threads& threads) {
  // candidates outside the map are in lse or not; their keys and values are no one's to change
  (query.type == MMVOS_F64 ? backward<double> : backward<float>)(
      grad, query, keys, values, out, lse, grad_query, grad_keys, grad_values, radius, scale,
      threads);
}

}  // namespace MMVOS_ISA
