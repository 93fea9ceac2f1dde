// local_correlation, forward.
#include <algorithm>

#include "correlation.cuh"
#include "window.cuh"

namespace mmvos {
namespace {

constexpr int WARPS = 4;
constexpr int COLUMNS = 8;  // candidates of one row that a thread takes

// The dots of one query with up to COLUMNS candidates of one row.
template <typename In>
struct Strip {
  const Correlation<In>& p;
  int b, y, x, row, first, last;  // row and columns of the window

  __device__ void run() const {
    float sum[COLUMNS] = {};
    add_dots(sum, y + (row - p.radius) * p.dilation);
    const int64_t area = static_cast<int64_t>(p.h) * p.w;
    const int64_t side = p.side();
    float* out = p.out + ((b * side + row) * side + first) * area +
                 static_cast<int64_t>(y) * p.w + x;
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j) {
      if (first + j < last) out[j * area] = sum[j];
    }
  }

  __device__ void add_dots(float (&sum)[COLUMNS], int key_y) const {
    const int key_x = x + (first - p.radius) * p.dilation;
    const In* query = p.query.at(b, 0, y, x);
    const In* keys = p.key.at(b, 0);
    bool reads[COLUMNS];
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j) {
      reads[j] = first + j < last && within(key_x + j * p.dilation, p.w2) && within(key_y, p.h2);
    }
#pragma unroll 2
    for (int c = 0; c < p.channels; ++c) {
      const float q = to_float(query[c * p.query.c]);
#pragma unroll
      for (int j = 0; j < COLUMNS; ++j) {
        const int64_t place = c * p.key.c + key_y * p.key.y + (key_x + j * p.dilation) * p.key.x;
        sum[j] = fmaf(q, reads[j] ? to_float(keys[place]) : 0.f, sum[j]);
      }
    }
  }
};

// A warp has 32 neighbouring queries and one strip of their windows.
template <typename In>
__global__ void __launch_bounds__(WARPS * LANES) grid_kernel(const Correlation<In> p, int strips,
                                                             int64_t count) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * WARPS + warp_id();
  if (i >= count) return;
  const int strip = i % strips, row = i / strips % p.side();
  i = i / strips / p.side();
  const int across = (p.w + LANES - 1) / LANES;
  const int x = i % across * LANES + lane_id(), y = i / across % p.h, b = i / across / p.h;
  if (x >= p.w) return;
  // strips of nearly the same length
  const int64_t side = p.side();
  const int first = strip * side / strips, last = (strip + 1) * side / strips;
  Strip<In>{p, b, y, x, row, first, last}.run();
}

// A warp has one query whose window lies around coords.
template <typename In>
__global__ void __launch_bounds__(LANES) coords_kernel(const Correlation<In> p) {
  MMVOS_DYNAMIC_SHARED(shared);
  const int64_t i = blockIdx.x;
  const int x = i % p.w, y = i / p.w % p.h, b = i / p.w / p.h;
  const float* centre = p.coords.at(b, 0, y, x);
  const Axis axis{p.radius, p.dilation, true};
  Sweep<In> sweep{reinterpret_cast<float*>(shared), p.query.at(b, 0, y, x), p.query.c,
                  p.key.at(b, 0), p.key, axis, Position(0, centre[p.coords.c]),
                  Position(0, centre[0]), p.channels, p.h2, p.w2};
  const int64_t side = p.side(), area = static_cast<int64_t>(p.h) * p.w;
  float* out = p.out + b * side * side * area + static_cast<int64_t>(y) * p.w + x;
  for (int row = 0; row < side; ++row) {
    sweep.next();
    for (int column = lane_id(); column < side; column += LANES) {
      out[(row * side + column) * area] = sweep.at(column);
    }
  }
}

}  // namespace

template <typename In>
int correlate(const Correlation<In>& p, size_t shared_limit, cudaStream_t stream) {
  if (p.coords.data) {
    const size_t shared = sizeof(float) * 2 * Axis{p.radius, p.dilation, true}.count();
    if (shared > shared_limit) return fail("the radius is too large for this GPU's shared memory");
    const int64_t queries = static_cast<int64_t>(p.batch) * p.h * p.w;
    return launch(coords_kernel<In>, queries, LANES, shared, stream, p);
  }
  const int strips = static_cast<int>(ceil_div(p.side(), COLUMNS));
  const int64_t count = p.batch * ceil_div(p.w, LANES) * p.h * p.side() * strips;
  return launch(grid_kernel<In>, ceil_div(count, WARPS), WARPS * LANES, 0, stream, p, strips,
                count);
}

template int correlate(const Correlation<float>&, size_t, cudaStream_t);
template int correlate(const Correlation<__nv_bfloat16>&, size_t, cudaStream_t);
template int correlate(const Correlation<__half>&, size_t, cudaStream_t);

}  // namespace mmvos
