// Gradients of local_propagation over all candidates. Two passes, one for the queries, one for the
// keys and values. Both gather, so there is no atomic and every run gives the same bits; the
// weights are computed again from lse. The passes mirror each other: a tile of own cells (queries,
// or keys of one reference) meets the other cells around it. "Payload" is the gradient of the
// output on the queries' side and the values on the keys' side.
#include <algorithm>
#include <utility>

#include "propagation.cuh"
#include "tile.cuh"

namespace mmvos {
namespace {

constexpr int ROWS = 2, CHUNK = 64;  // other rows and channels that are staged at a time
constexpr int CLASSES = 32;          // of the own payload, likewise
constexpr int BLOCKS = CHUNK / LANES;
constexpr int STAGE = ROWS * CHUNK * PITCH, WEIGHTS = ROWS * LANES * OWN;

template <typename In>
struct Side {
  Map<const In> features;
  Map<const float> payload;
};

template <typename In>
struct Pass {
  Side<In> own, other;
  Map<const float> out, lse;
  float *grad_features, *grad_payload;  // of the own side, contiguous
  int batch, h, w, channels, refs, classes, radius;
  int parts;  // blocks that share a tile: each sums CHUNK channels (and CLASSES classes)
  float scale;

  __host__ __device__ int chunks() const { return (channels + CHUNK - 1) / CHUNK; }
};

struct Shared {
  float *rows, *own, *weights, *lse, *inner, *payload, *sums;

  __device__ Shared(float* start, int classes) {
    rows = start;
    own = rows + STAGE;
    lse = own + CHUNK * CELLS;
    inner = lse + CELLS;
    weights = inner + CELLS + warp_id() * WEIGHTS;
    payload = inner + CELLS + WARPS * WEIGHTS;
    sums = payload + (1 + warp_id()) * min(classes, CLASSES) * CELLS;
  }
  static size_t bytes(int classes, bool keys) {
    const int payload = std::min(classes, CLASSES) * CELLS;
    return sizeof(float) * (STAGE + CHUNK * CELLS + 2 * CELLS + WARPS * WEIGHTS + payload +
                            (keys ? WARPS * payload : 0));
  }
};

// total[m][q] += weight q * channel m * LANES + lane, over the cells of a group. Guarded: a weight
// of 0 keeps even NaN away.
template <bool GUARDED>
__device__ void add_features(float (&total)[BLOCKS][OWN], const float* weights,
                             const float* rows) {
  const float4* weight = reinterpret_cast<const float4*>(weights);
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
#pragma unroll 4
    for (int column = 0; column < LANES; ++column, weight += 2) {
      const float4 a = weight[0], b = weight[1];
#pragma unroll
      for (int m = 0; m < BLOCKS; ++m) {
        const float x = rows[(r * CHUNK + m * LANES + lane_id()) * PITCH + column];
        if (!GUARDED) {
          multiply_add(total[m], x, a, b);
          continue;
        }
        const float each[OWN] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
        for (int q = 0; q < OWN; ++q) total[m][q] += each[q] == 0.f ? 0.f : each[q] * x;
      }
    }
  }
}

// What a warp does in either pass.
template <typename In, bool KEYS>
struct Worker {
  const Pass<In>& p;
  const Shared shared;
  const Tile tile;
  int b, t, part, y;
  float total[BLOCKS][OWN] = {};

  __device__ Worker(const Pass<In>& pass, float* memory)
      : p(pass), shared(memory, pass.classes), tile(pass.h, pass.w), y(tile.y + warp_id()) {
    part = tile.rest % p.parts;
    t = KEYS ? tile.rest / p.parts % p.refs : 0;
    b = tile.rest / p.parts / (KEYS ? p.refs : 1);
  }

  __device__ int classes_from(int first) const { return min(CLASSES, p.classes - first); }

  __device__ void stage_features(int first) {
    const auto& map = p.own.features;
    stage_own(shared.own, map.at(b, t) + first * map.c, map, tile, min(CHUNK, p.channels - first),
              p.h, p.w);
  }
  __device__ void stage_payload(int first) {
    const auto& map = p.own.payload;
    stage_own(shared.payload, map.at(b, t) + first * map.c, map, tile, classes_from(first), p.h,
              p.w);
  }

  // <gradient, output> of a query: what its softmax takes off every candidate's gradient.
  __device__ float inner_product(const Map<const float>& grad, int row, int column) const {
    const float* from = grad.at(b, 0, row, column);
    const float* output = p.out.at(b, 0, row, column);
    float sum = 0.f;
    for (int c = 0; c < p.classes; ++c) sum = fmaf(from[c * grad.c], output[c * p.out.c], sum);
    return sum;
  }

  __device__ void start() {
    if (p.chunks() <= 1) stage_features(0);
    if (p.classes <= CLASSES) stage_payload(0);
    if (KEYS) {
      const int count = min(p.classes, CLASSES);
      for (int c = 0; c < count; ++c) shared.sums[c * LANES + lane_id()] = 0.f;
    } else if (threadIdx.x < CELLS) {
      const int row = tile.y + lane_id() / OWN, column = tile.x + lane_id() % OWN;
      const bool inside = row < p.h && column < p.w;
      shared.lse[lane_id()] = inside ? *p.lse.at(b, 0, row, column) : 0.f;
      shared.inner[lane_id()] = inside ? inner_product(p.own.payload, row, column) : 0.f;
    }
  }

  // The channels of this block come last and stay in shared memory. True if one of them is not
  // finite.
  __device__ bool dot_features(float (&sum)[ROWS][OWN], int time, const Group& group, bool meets) {
    const auto& map = p.other.features;
    bool strange = false;
    for (int i = 1; i <= p.chunks(); ++i) {
      const int first = (part + i) % p.chunks() * CHUNK, count = min(CHUNK, p.channels - first);
      __syncthreads();
      if (p.chunks() > 1) stage_features(first);
      strange = stage_rows<ROWS, CHUNK>(shared.rows, map.at(b, time) + first * map.c, map, group,
                                        count, p.h, p.w);
      strange = __syncthreads_or(strange);
      if (meets) add_dots<ROWS, CHUNK>(sum, shared.own, shared.rows, count);
    }
    return strange;
  }

  __device__ void dot_payload(float (&sum)[ROWS][OWN], int time, const Group& group, bool meets) {
    const auto& map = p.other.payload;
    const int column = group.column + lane_id();
    for (int first = 0; first < p.classes; first += CLASSES) {
      if (p.classes > CLASSES) {
        __syncthreads();
        stage_payload(first);
        __syncthreads();
      }
      if (!meets || !within(column, p.w)) continue;
      const float4* own = reinterpret_cast<const float4*>(shared.payload + warp_id() * OWN);
      for (int c = 0; c < classes_from(first); ++c) {
        const float4 a = own[c * (CELLS / 4)], d = own[c * (CELLS / 4) + 1];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
          if (!within(group.row + r, p.h)) continue;
          multiply_add(sum[r], map.at(b, time, group.row + r, column)[(first + c) * map.c], a, d);
        }
      }
    }
  }

  // From logits and payload products: the softmax's weights (to logits) and the gradients of the
  // dot products (to products).
  __device__ void weigh(float (&logits)[ROWS][OWN], float (&products)[ROWS][OWN],
                        const Group& group) {
    const int column = group.column + lane_id();
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      const int row = group.row + r;
      const bool inside = within(row, p.h) && within(column, p.w);
      const bool near = inside && within(row - y + p.radius, 2 * p.radius + 1);
      const float lse = KEYS && inside ? *p.lse.at(b, 0, row, column) : 0.f;
      const float inner = KEYS && near ? inner_product(p.other.payload, row, column) : 0.f;
#pragma unroll
      for (int q = 0; q < OWN; ++q) {
        const int x = tile.x + q, own = warp_id() * OWN + q;
        const bool counts = near && x < p.w && within(column - x + p.radius, 2 * p.radius + 1);
        const float all = KEYS ? lse : shared.lse[own];
        const float weight = counts ? expf(p.scale * logits[r][q] - all) : 0.f;
        const float slope = products[r][q] - (KEYS ? inner : shared.inner[own]);
        products[r][q] = counts ? p.scale * weight * slope : 0.f;
        logits[r][q] = weight;
      }
    }
  }

  // Lane l sums for own cell l % OWN over a quarter of the columns.
  __device__ void add_payload(int time, const Group& group) {
    const auto& map = p.other.payload;
    for (int c = 0; c < classes_from(part * CLASSES); ++c) {
      const float* source = map.at(b, time) + (part * CLASSES + c) * map.c;
      float sum = shared.sums[c * LANES + lane_id()];
      for (int i = 0; i < ROWS * OWN; ++i) {
        const int row = group.row + i / OWN;
        const int column = group.column + i % OWN * (LANES / OWN) + lane_id() / OWN;
        const float weight = shared.weights[i * LANES + lane_id()];
        if (weight == 0.f) continue;  // outside, or not in the window
        sum = fmaf(weight, source[row * map.y + column * map.x], sum);
      }
      shared.sums[c * LANES + lane_id()] = sum;
    }
  }

  __device__ void meet(int time, const Group& group) {
    const bool meets = y < p.h && group.row <= y + p.radius && group.row + ROWS > y - p.radius;
    float logits[ROWS][OWN] = {}, products[ROWS][OWN] = {};
    const bool strange = dot_features(logits, time, group, meets);
    dot_payload(products, time, group, meets);
    if (!meets) return;
    weigh(logits, products, group);
    store_scores<ROWS>(shared.weights, products);
    __syncwarp();
    if (strange) {
      add_features<true>(total, shared.weights, shared.rows);
    } else {
      add_features<false>(total, shared.weights, shared.rows);
    }
    if (!KEYS || part * CLASSES >= p.classes) return;
    __syncwarp();
    store_scores<ROWS>(shared.weights, logits);
    __syncwarp();
    add_payload(time, group);
  }

  // Where channel c (of `channels`) of the own cell q belongs in a contiguous gradient.
  __device__ int64_t place(int c, int channels, int q) const {
    const int64_t map = (static_cast<int64_t>(b) * channels + c) * (KEYS ? p.refs : 1) + t;
    return (map * p.h + y) * p.w + tile.x + q;
  }

  __device__ void finish() {
    if (y >= p.h) return;
#pragma unroll
    for (int m = 0; m < BLOCKS; ++m) {
      const int c = part * CHUNK + m * LANES + lane_id();
#pragma unroll
      for (int q = 0; q < OWN; ++q) {
        if (c < p.channels && tile.x + q < p.w) {
          p.grad_features[place(c, p.channels, q)] = total[m][q];
        }
      }
    }
    if constexpr (KEYS) write_payload();
  }

  __device__ void write_payload() const {
    for (int c = 0; c < classes_from(part * CLASSES); ++c) {
      float sum = shared.sums[c * LANES + lane_id()];
      for (int step = OWN; step < LANES; step *= 2) sum += __shfl_xor_sync(ALL, sum, step);
      const int q = lane_id();
      if (q < OWN && tile.x + q < p.w) {
        p.grad_payload[place(part * CLASSES + c, p.classes, q)] = sum;
      }
    }
  }
};

template <typename In, bool KEYS>
__global__ void __launch_bounds__(THREADS, 4) backward_kernel(const Pass<In> p) {
  MMVOS_DYNAMIC_SHARED(shared);
  Worker<In, KEYS> worker(p, reinterpret_cast<float*>(shared));
  worker.start();
  const int groups = count_groups(p.radius, ROWS), columns = count_columns(p.radius);
  for (int time = 0; time < (KEYS ? 1 : p.refs); ++time) {
    for (int i = 0; i < groups; ++i) {
      for (int j = 0; j < columns; ++j) {
        const Group group{worker.tile.y - p.radius + i * ROWS,
                          worker.tile.x - p.radius + j * LANES};
        if (!group.outside(ROWS, p.h, p.w)) worker.meet(time, group);
      }
    }
  }
  worker.finish();
}

template <typename In, bool KEYS>
int run(Pass<In> p, size_t shared_limit, cudaStream_t stream) {
  const size_t shared = Shared::bytes(p.classes, KEYS);
  if (shared > shared_limit) return fail("this GPU has too little shared memory for the gradient");
  const int payload_parts = KEYS ? static_cast<int>(ceil_div(p.classes, CLASSES)) : 0;
  p.parts = std::max(p.chunks(), payload_parts);
  const int64_t maps = static_cast<int64_t>(p.batch) * p.parts * (KEYS ? p.refs : 1);
  return launch(backward_kernel<In, KEYS>, maps * count_tiles(p.h, p.w), THREADS, shared, stream,
                p);
}

}  // namespace

template <typename In>
int propagate_backward(const Gradients<In>& g, size_t shared_limit, cudaStream_t stream) {
  const Side<In> queries{g.query, g.grad}, keys{g.keys, g.values};
  Pass<In> pass{queries,    keys,   g.out,      g.lse,  g.grad_query, nullptr,  g.batch, g.h, g.w,
                g.channels, g.refs, g.classes, g.radius, 1,           g.scale};
  if (run<In, false>(pass, shared_limit, stream)) return 1;
  std::swap(pass.own, pass.other);
  pass.grad_features = g.grad_keys;
  pass.grad_payload = g.grad_values;
  return run<In, true>(pass, shared_limit, stream);
}

template int propagate_backward(const Gradients<float>&, size_t, cudaStream_t);
template int propagate_backward(const Gradients<__nv_bfloat16>&, size_t, cudaStream_t);
template int propagate_backward(const Gradients<__half>&, size_t, cudaStream_t);

}  // namespace mmvos
