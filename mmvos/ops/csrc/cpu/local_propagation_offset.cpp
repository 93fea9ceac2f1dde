// Local propagation, forward, with a window of its own for every cell and reference.
#include "propagation.h"
#include "tile.h"
#include "window.h"

namespace MMVOS_ISA {
namespace {

// Everything about one batch item with offsets. Windows of neighbouring cells share no products,
// but most of their keys: a tile of cells looks at one reference before it goes on to the next.
template <class A>
struct OffsetWalk {
  static constexpr int L = LANES<A>;
  Sizes s;
  Window<A> window;
  Cells<A> query, keys, values;
  const MMVOSTensor* offsets;
  int64_t batch;
  Results<A> results;

  int64_t area() const { return window.side * window.side; }
  int64_t padded_area() const { return round_up(area(), 16); }
  int64_t candidates() const { return s.refs * padded_area(); }
  int64_t corners() const { return round_up(window.corners * window.corners, 16); }
  int64_t numbers() const { return TILE * candidates() + corners() + round_up(s.objects, 16); }
  size_t bytes() const {
    return size_t(numbers()) * sizeof(A) + size_t(s.k ? TopK<A>::bytes(s.k) : 0);
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
    A* logits = reinterpret_cast<A*>(scratch);
    A* corner = logits + TILE * job.candidates();
    A* sums = corner + job.corners();
    char* rest = reinterpret_cast<char*>(logits + job.numbers());
    for (int64_t x0 = 0; x0 < job.s.w; x0 += TILE) {
      const int64_t end = x0 + TILE < job.s.w ? x0 + TILE : job.s.w;
      for (int64_t t = 0; t < job.s.refs; ++t)
        for (int64_t x = x0; x < end; ++x)
          job.compare(t, unit, x, corner,
                      logits + (x - x0) * job.candidates() + t * job.padded_area());
      for (int64_t x = x0; x < end; ++x) {
        A* of_cell = logits + (x - x0) * job.candidates();
        if (job.s.k) job.read_some(unit, x, of_cell, sums, rest);
        else job.read_all(unit, x, of_cell, corner, sums);
      }
    }
  }
  void compare(int64_t t, int64_t y, int64_t x, A* products, A* logits) const {
    const Window<A> here = placed(t, y, x);
    if (!here.anywhere) return (void)memset(logits, 0, size_t(area()) * sizeof(A));
    here.products(query.at(y, x), keys, t * s.h, s.h, products);
    here.mix(products, logits);
  }
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
  void read_all(int64_t y, int64_t x, A* logits, A* corner, A* sums) const {
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
      here.unmix(logits + t * padded_area(), corner);
      for (int64_t i = 0; i < window.corners; ++i) {
        const int64_t row = here.y + here.step(i);
        if (row < 0 || row >= s.h) continue;
        for (int64_t j = 0; j < window.corners; ++j) {
          const int64_t column = here.x + here.step(j);
          if (column >= 0 && column < s.w)
            add(t * s.h + row, column, corner[i * window.corners + j], sums);
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

template <class A>
Cells<A> cells_for(int64_t rows, int64_t w, int64_t n, Threads& threads) {
  return {threads.allocate_array<A>(rows * w * n), w, n};
}

template <class A>
void run(const MMVOSTensor& query, const MMVOSTensor& keys, const MMVOSTensor& values,
                 const MMVOSTensor& offset, MMVOSTensor& out, MMVOSTensor& lse, int radius,
                 const Sizes& s, Threads& threads) {
  const int64_t n = round_up(s.channels, LANES<A>);
  OffsetWalk<A> job{s, Window<A>(radius, 1), cells_for<A>(s.h, s.w, n, threads),
                    cells_for<A>(s.refs * s.h, s.w, n, threads),
                    cells_for<A>(s.refs * s.h, s.w, s.objects, threads), &offset, 0, {}};
  if (job.candidates() >= (int64_t(1) << 31)) mmvos::fail("there are too many candidates");
  Maps maps(s.refs, threads);
  for (int64_t b = 0; b < query.size[0]; ++b) {
    maps.set(query, keys, values, b);
    job.batch = b;
    job.results = results_of<A>(out, lse, b);
    pack_all(&maps.query, 1, job.query, threads);
    pack_all(maps.keys, s.refs, job.keys, threads);
    pack_all(maps.values, s.refs, job.values, threads);
    threads.run(s.h, job.bytes(), OffsetWalk<A>::task, &job);
  }
}

}  // namespace

void propagation_with_offset(const MMVOSTensor& query, const MMVOSTensor& keys,
                             const MMVOSTensor& values, const MMVOSTensor& offset,
                             MMVOSTensor& out, MMVOSTensor& lse, int radius, const Sizes& sizes,
                             Threads& threads) {
  (query.type == MMVOS_F64 ? run<double> : run<float>)(query, keys, values, offset, out, lse,
                                                       radius, sizes, threads);
}

}  // namespace MMVOS_ISA
