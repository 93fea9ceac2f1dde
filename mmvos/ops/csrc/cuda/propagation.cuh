// local_propagation: its arguments, and the readout of chosen candidates.
#pragma once
#include <math.h>

#include "common.cuh"

namespace mmvos {

template <typename In>
struct Propagation {
  using Feature = In;
  Map<const In> query, keys;
  Map<const float> values, offset;  // offset.data is null without one
  float *out, *lse;                 // contiguous
  int batch, h, w, channels, refs, classes, radius;
  int topk;          // 0: all
  int64_t capacity;  // of a query's buffer, with topk
  float scale;
  bool mask;

  __host__ __device__ int side() const { return 2 * radius + 1; }
  __device__ void write(int b, int c, int y, int x, float value) const {
    out[((static_cast<int64_t>(b) * classes + c) * h + y) * w + x] = value;
  }
  __device__ void write_lse(int b, int y, int x, float value) const {
    lse[(static_cast<int64_t>(b) * h + y) * w + x] = value;
  }
};

// A candidate of a query, by number: reference, row and column of the window.
struct Candidate {
  int t, row, column;

  __device__ Candidate(uint32_t code, uint32_t side)
      : t(code / side / side), row(code / side % side), column(code % side) {}
};

// What exp() subtracts; -inf would turn "no weight" into NaN.
__device__ inline float exponent_base(float top) { return top == -INFINITY ? 0.f : top; }

// One query's output from n chosen candidates (their logits and codes, in memory of the warp);
// value_of gives class c of a candidate. Overwrites the logits. All of them -inf: NaN.
template <typename In, typename Value>
__device__ void read_out(const Propagation<In>& p, float* logits, const uint32_t* codes, int n,
                         int b, int y, int x, Value value_of) {
  const int lane = lane_id();
  float top = -INFINITY, sum = 0.f;
  for (int i = lane; i < n; i += LANES) top = fmaxf(top, logits[i]);
  const float base = exponent_base(warp_max(top));
  for (int i = lane; i < n; i += LANES) {
    logits[i] = expf(p.scale * (logits[i] - base));
    sum += logits[i];
  }
  sum = warp_sum(sum);
  for (int c = 0; c < p.classes; ++c) {
    float mean = 0.f;
    for (int i = lane; i < n; i += LANES) mean += logits[i] * value_of(c, codes[i]);
    mean = warp_sum(mean);
    if (lane == 0) p.write(b, c, y, x, n ? mean / sum : 0.f);
  }
  if (lane == 0) p.write_lse(b, y, x, p.scale * base + logf(sum));
}

template <typename In>
struct Gradients {
  using Feature = In;
  Map<const In> query, keys;
  Map<const float> grad, values, out, lse;
  float *grad_query, *grad_keys, *grad_values;  // contiguous
  int batch, h, w, channels, refs, classes, radius;
  float scale;
};

// Sets *done to false, and does nothing, where the tiles need more shared memory than there is.
template <typename In>
int propagate_tiles(const Propagation<In>& p, size_t shared_limit, cudaStream_t stream,
                    bool* done);
template <typename In>
int propagate_queries(const Propagation<In>& p, size_t shared_limit, cudaStream_t stream);
template <typename In>
int propagate_backward(const Gradients<In>& g, size_t shared_limit, cudaStream_t stream);

}  // namespace mmvos
