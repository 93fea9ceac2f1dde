// What both forms of local propagation share: sizes, inputs, results, reading a TopK.
#pragma once
#include "kernels.h"
#include "pack.h"
#include "top_k.h"

namespace MMVOS_ISA {

struct Sizes {
  int64_t channels, objects, refs, h, w, k;  // k 0: all candidates
  double scale;
  bool mask;
};

// Where one batch item's results go.
template <class A>
struct Results {
  A *out, *lse;
  int64_t cells;
  void write(int64_t cell, const A* sums, int64_t objects, A over, A lse_value) const {
    for (int64_t o = 0; o < objects; ++o) out[o * cells + cell] = sums[o] * over;
    lse[cell] = lse_value;
  }
  void write_all(int64_t cell, int64_t objects, A value, A lse_value) const {
    for (int64_t o = 0; o < objects; ++o) out[o * cells + cell] = value;
    lse[cell] = lse_value;
  }
};

template <class A>
Results<A> results_of(const MMVOSTensor& out, const MMVOSTensor& lse, int64_t b) {
  const int64_t cells = out.size[2] * out.size[3];
  return {static_cast<A*>(out.data) + b * out.size[1] * cells,
          static_cast<A*>(lse.data) + b * cells, cells};
}

struct Maps {  // of one batch item
  Map query;
  Map *keys, *values;  // one per reference
  Maps(int64_t refs, Threads& threads)
      : keys(threads.allocate_array<Map>(refs)), values(threads.allocate_array<Map>(refs)) {}
  void set(const MMVOSTensor& q, const MMVOSTensor& k, const MMVOSTensor& v, int64_t b) {
    query = map_of(q, 1, b * q.stride[0]);
    for (int64_t t = 0; t < k.size[2]; ++t) {
      keys[t] = map_of(k, 1, b * k.stride[0] + t * k.stride[2]);
      values[t] = map_of(v, 1, b * v.stride[0] + t * v.stride[2]);
    }
  }
};

// Softmax over what a TopK holds, then `find(code, weight)` adds the values to `sums`.
template <class A, class Find>
void read_top(TopK<A>& best, const Sizes& s, bool candidates, int64_t cell,
              const Results<A>& results, A* sums, Find find) {
  constexpr int L = LANES<A>;
  best.cut();
  if (best.broken || (!best.count && candidates))
    return results.write_all(cell, s.objects, A(NAN), A(NAN));
  if (!best.count) return results.write_all(cell, s.objects, 0, -A(HUGE_VAL));
  store(best.values + best.count, fill(-A(HUGE_VAL)));
  Vec<A> top = load<Vec<A>>(best.values), total = {};
  for (int64_t i = L; i < best.count; i += L) {
    const Vec<A> v = load<Vec<A>>(best.values + i);
    top = v > top ? v : top;
  }
  const A peak = largest<A>(top), scale = A(s.scale);
  for (int64_t i = 0; i < best.count; i += L) {
    const Vec<A> weight = exponential((load<Vec<A>>(best.values + i) - peak) * scale);
    total += weight;
    store(best.values + i, weight);
  }
  memset(sums, 0, size_t(s.objects) * sizeof(A));
  for (int64_t i = 0; i < best.count; ++i) find(best.codes[i], best.values[i]);
  const A all = sum<A>(total);
  results.write(cell, sums, s.objects, 1 / all, peak * scale + A(log(double(all))));
}

// The form with offsets, in a file of its own.
void propagation_with_offset(const MMVOSTensor& query, const MMVOSTensor& keys,
                             const MMVOSTensor& values, const MMVOSTensor& offset,
                             MMVOSTensor& out, MMVOSTensor& lse, int radius, const Sizes& sizes,
                             Threads& threads);

}  // namespace MMVOS_ISA
