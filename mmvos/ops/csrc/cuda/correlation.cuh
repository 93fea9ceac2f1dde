// local_correlation: its arguments.
#pragma once
#include "common.cuh"

namespace mmvos {

template <typename In>
struct Correlation {
  Map<const In> query, key;
  Map<const float> coords;  // coords.data is null without them
  Map<const float> grad;    // of the output; backward only
  float *out, *grad_query, *grad_key;  // contiguous
  int batch, channels, h, w, h2, w2, radius, dilation;

  __host__ __device__ int side() const { return 2 * radius + 1; }
};

template <typename In>
int correlate(const Correlation<In>& p, size_t shared_limit, cudaStream_t stream);
template <typename In>
int correlate_backward(const Correlation<In>& p, cudaStream_t stream);

}  // namespace mmvos
