// Every kernel once or more, for a build with a race detector; see races.sh. Results are not
// looked at.
#include <stdio.h>
#include <stdlib.h>

#include <random>
#include <vector>

#include "mmvos_ops.h"

namespace {

struct Tensor {
  std::vector<float> numbers;
  MMVOSTensor view;

  explicit Tensor(std::vector<int64_t> sizes, bool channels_last = false) : view() {
    static std::mt19937 random(0);
    std::normal_distribution<float> normal;
    int64_t count = 1;
    view.ndim = static_cast<int32_t>(sizes.size());
    std::vector<int> order;  // axes from the slowest to the fastest
    for (int i = 0; i < view.ndim; ++i) {
      if (!channels_last || i != 1) order.push_back(i);
    }
    if (channels_last) order.push_back(1);
    for (int i = view.ndim - 1; i >= 0; --i) {
      view.size[order[i]] = sizes[order[i]];
      view.stride[order[i]] = count;
      count *= sizes[order[i]];
    }
    numbers.resize(count);
    for (float& x : numbers) x = normal(random);
    view.data = numbers.data();
  }
  operator const MMVOSTensor*() const { return &view; }
  operator MMVOSTensor*() { return &view; }
};

void must(int failed) {
  if (!failed) return;
  fprintf(stderr, "%s\n", mmvos_error());
  exit(1);
}

const MMVOSContext context = {0, 0, nullptr};

void propagate(int64_t c, int64_t t, int64_t classes, int radius, int topk, bool moved,
               bool channels_last = false, int mask = 0) {
  const int64_t h = 6, w = 11;
  const Tensor query({1, c, h, w}, channels_last), keys({1, c, t, h, w}, channels_last);
  const Tensor values({1, classes, t, h, w}), offset({1, t, 2, h, w}), grad({1, classes, h, w});
  Tensor out({1, classes, h, w}), lse({1, h, w});
  must(mmvos_local_propagation(query, keys, values, moved ? &offset.view : nullptr, out, lse,
                               radius, topk, 0.5, mask, &context));
  if (topk || moved) return;
  Tensor grad_query({1, c, h, w}), grad_keys({1, c, t, h, w}), grad_values({1, classes, t, h, w});
  must(mmvos_local_propagation_backward(grad, query, keys, values, out, lse, grad_query, grad_keys,
                                        grad_values, radius, 0.5, &context));
}

void correlate(int radius, int dilation, bool moved) {
  const Tensor query({1, 9, 5, 9}), key({1, 9, 7, 6}), centres({1, 2, 5, 9});
  const int64_t side = 2 * radius + 1;
  const Tensor grad({1, side * side, 5, 9});
  Tensor out({1, side * side, 5, 9}), grad_query({1, 9, 5, 9}), grad_key({1, 9, 7, 6});
  const MMVOSTensor* coords = moved ? &centres.view : nullptr;
  must(mmvos_local_correlation(query, key, coords, out, radius, dilation, &context));
  must(mmvos_local_correlation_backward(grad, query, key, coords, grad_query, grad_key, radius,
                                        dilation, &context));
}

}  // namespace

int main() {
  for (int topk : {0, 1, 5, 60}) {
    for (bool moved : {false, true}) {
      propagate(5, 2, 3, 2, topk, moved);
      propagate(70, 1, 40, 3, topk, moved, true);
    }
  }
  propagate(4, 1, 1, 14, 200, false);
  propagate(4, 1, 1, 2, 20, false, false, 1);
  propagate(4, 1, 1, 2, 20, true, false, 1);
  propagate(70, 1, 70, 1, 0, false);
  setenv("MMVOS_EMULATION_SHARED", "100", 1);
  for (int topk : {0, 5}) {
    if (topk) propagate(5, 2, 3, 2, topk, false);
    propagate(5, 2, 3, 2, topk, true);
  }
  setenv("MMVOS_EMULATION_SHARED", "200000", 1);
  for (int dilation : {1, 2}) {
    for (bool moved : {false, true}) correlate(2, dilation, moved);
  }
  puts("done");
}
