// Local propagation, forward, with a window of its own for every cell and reference.
#include "propagation.h"
#include "tile.h"
#include "window.h"

namespace MMVOS_ISA {
namespace {

// Everything about one batch item with offsets: windows of one cell share nothing.
template <class A>
struct OffsetWalk {
  Sizes s;
  Window<A> window;
  Cells<A> query, keys, values;
  const MMVOSTensor* offsets;
  int64_t batch;
  Results<A> results;

  int64_t candidates() const { return s.refs * window.side * window.side; }
  int64_t k() const { return s.k ? s.k : candidates(); }
  int64_t bytes() const {
    const int64_t area = window.side * window.side, corners = window.corners * window.corners;
    return (round_up(area + LANES<A>, 16) + round_up(corners, 16) + round_up(s.objects, 16)) *
               int64_t(sizeof(A)) + TopK<A>::bytes(k());
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
  static void task(void* args, int64_t unit, char* scratch) {
    const OffsetWalk& job = *static_cast<OffsetWalk*>(args);
    for (int64_t x = 0; x < job.s.w; ++x) job.cell(unit, x, scratch);
  }
  void cell(int64_t y, int64_t x, char* scratch) const {
    const int64_t area = window.side * window.side;
    A* logits = reinterpret_cast<A*>(scratch);
    A* products = logits + round_up(area + LANES<A>, 16);
    A* sums = products + round_up(window.corners * window.corners, 16);
    TopK<A> best;
    best.start(k(), reinterpret_cast<char*>(sums + round_up(s.objects, 16)));
    bool any = false;
    for (int64_t t = 0; t < s.refs; ++t) {
      const Window<A> here = placed(t, y, x);
      if (here.anywhere) {
        here.products(query.at(y, x), keys, t * s.h, s.h, products);
        here.mix(products, logits);
      } else {
        memset(logits, 0, size_t(area) * sizeof(A));
      }
      any |= offer(best, here, logits, t);
    }
    read_top(best, s, any, y * s.w + x, results, sums, [&](Int<A> code, A weight) {
      placed(code / area, y, x).corners_of(
          code % area, s.h, s.w, [&](A share, int64_t row, int64_t column) {
            const A* value = values.at(code / area * s.h + row, column);
            for (int64_t o = 0; o < s.objects; ++o) sums[o] += weight * share * value[o];
          });
    });
  }
  // Returns whether there was a candidate.
  bool offer(TopK<A>& best, const Window<A>& here, const A* logits, int64_t t) const {
    constexpr int L = LANES<A>;
    const int64_t area = window.side * window.side;
    bool any = false;
    for (int64_t i = 0; i < area; i += L) {
      uint32_t allowed = Columns::range(0, area - 1 - i, L);
      for (int64_t j = i; s.mask && j < area && j < i + L; ++j)
        if (!here.inside(j, s.h, s.w)) allowed &= ~(1u << (j - i));
      any |= allowed != 0;
      best.offer(load<Vec<A>>(logits + i), allowed, Int<A>(t * area + i));
    }
    return any;
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
    threads.run(s.h, size_t(job.bytes()), OffsetWalk<A>::task, &job);
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
