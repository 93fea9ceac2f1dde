// Gradients of local_correlation. A thread has one cell and CHANNELS of its channels; lanes are
// neighbours in a row.
#include "correlation.cuh"
#include "window.cuh"

namespace mmvos {
namespace {

constexpr int WARPS = 4;
constexpr int CHANNELS = 8;

// The cell and the channels of a thread; `here` is false beyond the end of a row.
struct Place {
  int b, y, x, first, channels;
  bool here;

  __device__ Place(int h, int w, int all_channels) {
    const int across = (w + LANES - 1) / LANES, parts = (all_channels + CHANNELS - 1) / CHANNELS;
    int64_t i = static_cast<int64_t>(blockIdx.x) * WARPS + warp_id();
    first = i % parts * CHANNELS;
    channels = min(CHANNELS, all_channels - first);
    i /= parts;
    x = i % across * LANES + lane_id();
    i /= across;
    y = i % h;
    b = static_cast<int>(min(i / h, static_cast<int64_t>(INT_MAX)));
    here = x < w;
  }
  static int64_t blocks(int batch, int h, int w, int all_channels) {
    const int64_t parts = ceil_div(all_channels, CHANNELS);
    return ceil_div(batch * parts * h * ceil_div(w, LANES), WARPS);
  }
  __device__ void write(float* out, const float (&sum)[CHANNELS], int all_channels, int h,
                        int w) const {
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) {
      if (c >= channels) continue;
      out[((static_cast<int64_t>(b) * all_channels + first + c) * h + y) * w + x] = sum[c];
    }
  }
};

template <typename In>
__device__ void add(float (&sum)[CHANNELS], float weight, const In* cell, int64_t step,
                    int channels) {
#pragma unroll
  for (int c = 0; c < CHANNELS; ++c) {
    if (c < channels) sum[c] = fmaf(weight, to_float(cell[c * step]), sum[c]);
  }
}

// Without coords both gradients gather. KEY: own cells are keys, the others queries, and a query
// lies where its candidate is the own cell.
template <typename In, bool KEY>
__global__ void __launch_bounds__(WARPS * LANES) grid_kernel(const Correlation<In> p) {
  const int own_h = KEY ? p.h2 : p.h, own_w = KEY ? p.w2 : p.w;
  const int other_h = KEY ? p.h : p.h2, other_w = KEY ? p.w : p.w2;
  const Place own(own_h, own_w, p.channels);
  if (!own.here || own.b >= p.batch) return;
  const Map<const In>& other = KEY ? p.query : p.key;
  const In* others = other.at(own.b, 0) + own.first * other.c;
  float sum[CHANNELS] = {};
  for (int i = 0; i < p.side() * p.side(); ++i) {
    const int down = (i / p.side() - p.radius) * p.dilation;
    const int right = (i % p.side() - p.radius) * p.dilation;
    const int y = KEY ? own.y - down : own.y + down, x = KEY ? own.x - right : own.x + right;
    if (!within(y, other_h) || !within(x, other_w)) continue;
    const float weight = p.grad.at(own.b, 0, KEY ? y : own.y, KEY ? x : own.x)[i * p.grad.c];
    add(sum, weight, others + y * other.y + x * other.x, other.c, own.channels);
  }
  own.write(KEY ? p.grad_key : p.grad_query, sum, p.channels, own_h, own_w);
}

// The candidates that mix cell i of an axis, up to two, and the weight it has in them.
struct Share {
  int candidate[2];
  float weight[2];
  bool has[2];

  __device__ Share(const Axis& axis, int i, float rest) {
    const bool dense = axis.dilation == 1;
    for (int behind = 0; behind < 2; ++behind) {  // the cell before or behind the position
      candidate[behind] = dense ? i - behind : i / 2;
      has[behind] = within(candidate[behind], axis.side()) && (dense || behind == i % 2);
      weight[behind] = behind ? rest : 1.f - rest;
    }
  }
};

template <typename In>
__device__ float shared_gradient(const Correlation<In>& p, const float* grad, const Share& down,
                                 const Share& right) {
  float sum = 0.f;
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      const int64_t candidate = down.candidate[i] * p.side() + right.candidate[j];
      if (!down.has[i] || !right.has[j]) continue;
      sum += down.weight[i] * right.weight[j] * grad[candidate * p.grad.c];
    }
  }
  return sum;
}

// With coords any number of queries may meet a key: grad_key is summed by atomics, in an order
// that changes between runs. It alone is not the same to the last bit in every run.
template <typename In>
__global__ void __launch_bounds__(WARPS * LANES) coords_kernel(const Correlation<In> p) {
  const Place own(p.h, p.w, p.channels);
  if (!own.here || own.b >= p.batch) return;
  const Axis axis{p.radius, p.dilation, true};
  const float* centre = p.coords.at(own.b, 0, own.y, own.x);
  const Position at_x(0, centre[0]), at_y(0, centre[p.coords.c]);
  const In* query = p.query.at(own.b, 0, own.y, own.x) + own.first * p.query.c;
  const In* keys = p.key.at(own.b, 0) + own.first * p.key.c;
  const int64_t area = static_cast<int64_t>(p.h2) * p.w2;
  float* grad_key = p.grad_key + (static_cast<int64_t>(own.b) * p.channels + own.first) * area;
  float sum[CHANNELS] = {}, features[CHANNELS] = {};
  add(features, 1.f, query, p.query.c, own.channels);
  for (int i = 0; i < axis.count(); ++i) {
    const Share down(axis, i, at_y.rest);
    const int y = at_y.cell + axis.step(i);
    if (!within(y, p.h2)) continue;
    for (int j = 0; j < axis.count(); ++j) {
      const Share right(axis, j, at_x.rest);
      const int x = at_x.cell + axis.step(j);
      if (!within(x, p.w2)) continue;
      const float weight =
          shared_gradient(p, p.grad.at(own.b, 0, own.y, own.x), down, right);
      add(sum, weight, keys + y * p.key.y + x * p.key.x, p.key.c, own.channels);
      for (int c = 0; c < own.channels; ++c) {
        atomicAdd(grad_key + c * area + static_cast<int64_t>(y) * p.w2 + x, weight * features[c]);
      }
    }
  }
  own.write(p.grad_query, sum, p.channels, p.h, p.w);
}

}  // namespace

template <typename In>
int correlate_backward(const Correlation<In>& p, cudaStream_t stream) {
  const int64_t own = Place::blocks(p.batch, p.h, p.w, p.channels);
  const int64_t keys = Place::blocks(p.batch, p.h2, p.w2, p.channels);
  if (!p.coords.data) {
    return launch(grid_kernel<In, false>, own, WARPS * LANES, 0, stream, p) ||
           launch(grid_kernel<In, true>, keys, WARPS * LANES, 0, stream, p);
  }
  const size_t bytes = sizeof(float) * p.batch * p.channels * p.h2 * p.w2;
  if (bytes && check(cudaMemsetAsync(p.grad_key, 0, bytes, stream), "cudaMemsetAsync")) return 1;
  return launch(coords_kernel<In>, own, WARPS * LANES, 0, stream, p);
}

template int correlate_backward(const Correlation<float>&, cudaStream_t);
template int correlate_backward(const Correlation<__nv_bfloat16>&, cudaStream_t);
template int correlate_backward(const Correlation<__half>&, cudaStream_t);

}  // namespace mmvos
