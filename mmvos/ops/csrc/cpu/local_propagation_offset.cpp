// Local propagation, forward, with a window of its own for every cell and reference.
#include "propagation.h"
#include "tile.h"
#include "window.h"

namespace MMVOS_ISA {
namespace {

constexpr int64_t ROWS = 4;  // tiles, one below another, that share each key row in the cache
constexpr int64_t BLOCK = ROWS * TILE;

// Everything about one batch item with offsets. Windows of neighbouring cells lie together, mostly:
// a block of cells is compared with all columns that any of them looks at.
template <class D>
struct OffsetWalk {
  typedef typename D::A A;
  typedef typename D::E E;
  static constexpr int L = LANES<A>;
  Sizes s;
  Window<A> window;
  Rows<E> query, keys;
  Cells<A> values;
  int64_t columns;  // that a block is compared with at once
  const MMVOSTensor* offsets;
  int64_t batch;
  Results<A> results;

  int64_t area() const { return window.side * window.side; }
  int64_t padded_area() const { return round_up(area(), 16); }
  int64_t candidates() const { return s.refs * padded_area(); }
  int64_t corners() const { return round_up(window.corners * window.corners, 16); }
  int64_t numbers() const {
    return BLOCK * (candidates() + corners()) + TILE * columns + round_up(s.objects, 16);
  }
  int64_t tile_size() const { return query.groups * TILE; }
  size_t bytes() const {
    return size_t(numbers()) * sizeof(A) + size_t(ROWS * tile_size()) * sizeof(E) +
           size_t(s.k ? TopK<A>::bytes(s.k) : 0);
  }
  A at(int64_t t, int64_t axis, int64_t y, int64_t x) const {
    const int64_t* stride = offsets->stride;
    return static_cast<const A*>(offsets->data)[batch * stride[0] + t * stride[1] +
                                                axis * stride[2] + y * stride[3] + x * stride[4]];
  }
  Window<A> placed(int64_t t, int64_t y, int64_t x) const {
    Window<A> here = window;
    here.centre(A(x) + at(t, 0, y, x), A(y) + at(t, 1, y, x));
    return here;
  }
  // One bit per candidate of a vector from `first` on that counts.
  uint32_t allowed(const Window<A>& here, int64_t first) const {
    uint32_t bits = Columns::range(0, area() - 1 - first, L);
    for (int64_t i = first; s.mask && i < area() && i < first + L; ++i)
      if (!here.inside(i, s.h, s.w)) bits &= ~(1u << (i - first));
    return bits;
  }

  static void task(void* args, int64_t unit, char* scratch) {
    const OffsetWalk& job = *static_cast<OffsetWalk*>(args);
    for (int64_t x0 = 0; x0 < job.s.w; x0 += TILE) job.block(unit * ROWS, x0, scratch);
  }
  void block(int64_t y0, int64_t x0, char* scratch) const {
    A* logits = reinterpret_cast<A*>(scratch);
    A* products = logits + BLOCK * candidates();
    A* found = products + BLOCK * corners();
    A* sums = found + TILE * columns;
    E* tiles = reinterpret_cast<E*>(logits + numbers());
    char* rest = reinterpret_cast<char*>(tiles + ROWS * tile_size());
    for (int64_t r = 0; r < ROWS && y0 + r < s.h; ++r)
      take_tile(query, y0 + r, x0, tiles + r * tile_size());
    for (int64_t t = 0; t < s.refs; ++t) {
      Window<A> here[BLOCK];
      each(y0, x0, [&](int64_t c, int64_t y, int64_t x) { here[c] = placed(t, y, x); });
      compare(t, here, tiles, found, products);
      each(y0, x0, [&](int64_t c, int64_t, int64_t) {
        here[c].mix(products + c * corners(), logits + c * candidates() + t * padded_area());
      });
    }
    each(y0, x0, [&](int64_t c, int64_t y, int64_t x) {
      if (s.k) read_some(y, x, logits + c * candidates(), sums, rest);
      else read_all(y, x, logits + c * candidates(), products, sums);
    });
  }
  // Calls f(c, y, x) for the cells of a block that lie in the map.
  template <class F>
  void each(int64_t y0, int64_t x0, F f) const {
    for (int64_t c = 0; c < BLOCK; ++c)
      if (y0 + c / TILE < s.h && x0 + c % TILE < s.w) f(c, y0 + c / TILE, x0 + c % TILE);
  }
  // Products of a block's cells with the corners of their windows, 0 outside the map. Consecutive
  // cells share a walk over the keys as long as their windows fit into `columns`, both ways.
  void compare(int64_t t, const Window<A>* here, const E* tiles, A* found, A* products) const {
    const int64_t size = window.corners, radius = window.radius, spare = columns - size;
    memset(products, 0, size_t(BLOCK * corners()) * sizeof(A));
    for (int64_t begin = 0, end; begin < BLOCK; begin = end) {
      end = begin + 1;
      if (!here[begin].anywhere) continue;
      int64_t left = here[begin].x, right = left, top = here[begin].y, bottom = top;
      for (; end < BLOCK; ++end) {
        if (!here[end].anywhere) continue;
        const int64_t l = min(left, here[end].x), r = max(right, here[end].x);
        const int64_t a = min(top, here[end].y), b = max(bottom, here[end].y);
        if (r - l > spare || b - a > spare) break;
        left = l, right = r, top = a, bottom = b;
      }
      const int64_t first = min(max(left - radius, 0), s.w);
      for (int64_t row = max(top - radius, 0); row < min(bottom - radius + size, s.h); ++row)
        for (int64_t tile = begin / TILE; tile * TILE < end; ++tile) {
          dots<D>(tiles + tile * tile_size(), keys.row(t * s.h + row) + first, keys.groups,
                  keys.width, found, columns);
          for (int64_t c = max(begin, tile * TILE); c < min(end, (tile + 1) * TILE); ++c) {
            const int64_t i = row - here[c].y + radius, start = here[c].x - radius;
            const int64_t from = max(start, 0), to = min(start + size, s.w);
            if (here[c].anywhere && i >= 0 && i < size && from < to)
              memcpy(products + c * corners() + i * size + from - start,
                     found + c % TILE * columns + from - first, size_t(to - from) * sizeof(A));
          }
        }
    }
  }
  // not std's: a linker may keep one copy of those for all instruction sets
  static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
  static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

  void read_some(int64_t y, int64_t x, const A* logits, A* sums, char* buffer) const {
    TopK<A> best;
    best.start(s.k, buffer);
    bool any = false;
    for (int64_t t = 0; t < s.refs; ++t) {
      const Window<A> here = placed(t, y, x);
      for (int64_t i = 0; i < area(); i += L) {
        const uint32_t bits = allowed(here, i);
        any |= bits != 0;
        best.offer(load<Vec<A>>(logits + t * padded_area() + i), bits, Int<A>(t * area() + i));
      }
    }
    read_top(best, s, any, y * s.w + x, results, sums, [&](Int<A> code, A weight) {
      placed(code / area(), y, x).corners_of(
          code % area(), s.h, s.w, [&](A share, int64_t row, int64_t column) {
            add(code / area() * s.h + row, column, weight * share, sums);
          });
    });
  }
  // The softmax takes the place of the logits; each reference's part is spread over the corners,
  // whose values are read once.
  void read_all(int64_t y, int64_t x, A* logits, A* shares, A* sums) const {
    const int64_t cell = y * s.w + x;
    Vec<A> top = fill(-A(HUGE_VAL)), total = {};
    bool any = false;
    for (int64_t t = 0; t < s.refs; ++t) {
      const Window<A> here = placed(t, y, x);
      for (int64_t i = 0; i < area(); i += L) {
        A* at = logits + t * padded_area() + i;
        const uint32_t bits = allowed(here, i);
        any |= bits != 0;
        const Vec<A> v = mask_of<A>(bits) ? load<Vec<A>>(at) : fill(-A(HUGE_VAL));
        store(at, v);
        top = v > top ? v : top;
      }
    }
    if (!any) return results.write_all(cell, s.objects, 0, -A(HUGE_VAL));
    const A peak = largest<A>(top), scale = A(s.scale);
    for (int64_t t = 0; t < s.refs; ++t)
      for (int64_t i = 0; i < area(); i += L) {
        A* at = logits + t * padded_area() + i;
        const Vec<A> v = load<Vec<A>>(at), weight = exponential((v - peak) * scale);
        total += weight;
        store(at, weight);
      }
    const A all = sum<A>(total);
    if (!(all > 0)) return results.write_all(cell, s.objects, A(NAN), A(NAN));  // Inf or NaN
    memset(sums, 0, size_t(s.objects) * sizeof(A));
    for (int64_t t = 0; t < s.refs; ++t) {
      const Window<A> here = placed(t, y, x);
      if (!here.anywhere) continue;
      here.unmix(logits + t * padded_area(), shares);
      for (int64_t i = 0; i < window.corners; ++i) {
        const int64_t row = here.y + here.step(i);
        if (row < 0 || row >= s.h) continue;
        for (int64_t j = 0; j < window.corners; ++j) {
          const int64_t column = here.x + here.step(j);
          const A share = shares[i * window.corners + j];
          if (share != 0 && column >= 0 && column < s.w)  // a value that has none may be NaN
            add(t * s.h + row, column, share, sums);
        }
      }
    }
    results.write(cell, sums, s.objects, 1 / all, peak * scale + A(log(double(all))));
  }
  void add(int64_t row, int64_t column, A weight, A* sums) const {
    const A* value = values.at(row, column);
    for (int64_t o = 0; o < s.objects; ++o) sums[o] += weight * value[o];
  }
};

template <class D>
void run(const MMVOSTensor& query, const MMVOSTensor& keys, const MMVOSTensor& values,
         const MMVOSTensor& offset, MMVOSTensor& out, MMVOSTensor& lse, int radius,
         const Sizes& s, Threads& threads) {
  typedef typename D::A A;
  typedef typename D::E E;
  const Window<A> window(radius);
  const int64_t columns = round_up(window.corners + TILE, 2 * LANES<A>);
  const int64_t groups = (s.channels + D::GROUP - 1) / D::GROUP;
  const int64_t width = round_up(s.w, TILE), padded = spread(s.w + columns, sizeof(E));
  OffsetWalk<D> job{s, window,
                    {threads.allocate_array<E>(s.h * groups * width), groups, width, 0},
                    {threads.allocate_array<E>(s.refs * s.h * groups * padded), groups, padded, 0},
                    {threads.allocate_array<A>(s.refs * s.h * s.w * s.objects), s.w, s.objects},
                    columns, &offset, 0, {}};
  if (job.candidates() >= (int64_t(1) << 31)) mmvos::fail("there are too many candidates");
  Maps maps(s.refs, threads);
  for (int64_t b = 0; b < query.size[0]; ++b) {
    maps.set(query, keys, values, b);
    job.batch = b;
    job.results = results_of<A>(out, lse, b);
    pack_all(&maps.query, 1, job.query, threads);
    pack_all(maps.keys, s.refs, job.keys, threads);
    pack_all(maps.values, s.refs, job.values, threads);
    threads.run((s.h + ROWS - 1) / ROWS, job.bytes(), OffsetWalk<D>::task, &job);
  }
}

}  // namespace

void propagation_with_offset(const MMVOSTensor& query, const MMVOSTensor& keys,
                             const MMVOSTensor& values, const MMVOSTensor& offset,
                             MMVOSTensor& out, MMVOSTensor& lse, int radius, const Sizes& sizes,
                             Threads& threads) {
  if (query.type == MMVOS_F64)
    run<PlainDot<double>>(query, keys, values, offset, out, lse, radius, sizes, threads);
#if defined(__AVX512BF16__)
  else if (query.type == MMVOS_BF16)
    run<BFloat16Dot>(query, keys, values, offset, out, lse, radius, sizes, threads);
#endif
  else
    run<PlainDot<float>>(query, keys, values, offset, out, lse, radius, sizes, threads);
}

}  // namespace MMVOS_ISA
