// local_propagation with a warp per query: for windows that an offset moved, and for sizes that
// the tiles have no room for. Slower, and without limits.
#include <algorithm>
#include <type_traits>

#include "propagation.cuh"
#include "topk.cuh"
#include "window.cuh"

namespace mmvos {
namespace {

constexpr size_t SCRATCH_BYTES = 64 << 20;

// A query's window in one reference.
struct Window {
  Position y, x;

  template <typename In>
  __device__ Window(const Propagation<In>& p, int b, int t, int row, int column)
      : y(row, offset_of(p, b, t, row, column, 1)), x(column, offset_of(p, b, t, row, column, 0)) {}

  template <typename In>
  __device__ static float offset_of(const Propagation<In>& p, int b, int t, int row, int column,
                                    int c) {
    return p.offset.data ? p.offset.at(b, t, row, column)[c * p.offset.c] : 0.f;
  }
};

// The values of one query's candidates.
template <typename In>
struct Sampler {
  const Propagation<In>& p;
  int b, y, x;

  __device__ float cell(const float* values, int row, int column) const {
    if (!within(row, p.h) || !within(column, p.w)) return 0.f;
    return values[row * p.values.y + column * p.values.x];
  }
  __device__ float at(int c, const Window& window, int t, int down, int right) const {
    const float* values = p.values.at(b, t) + c * p.values.c;
    const int row = window.y.cell + down - p.radius, column = window.x.cell + right - p.radius;
    const float first = cell(values, row, column);
    if (!p.offset.data) return first;
    const float rest = window.x.rest;
    const float upper = mix(first, cell(values, row, column + 1), rest);
    const float lower = mix(cell(values, row + 1, column), cell(values, row + 1, column + 1), rest);
    return mix(upper, lower, window.y.rest);
  }
  __device__ float operator()(int c, uint32_t code) const {
    const Candidate from(code, p.side());
    return at(c, Window(p, b, from.t, y, x), from.t, from.row, from.column);
  }
};

// The k best of one query.
template <typename In>
struct BestOf {
  const Sampler<In>& query;
  float* values;
  uint32_t* codes;
  int count = 0;
  float bar = NAN;  // nothing is <= NaN: all may pass

  static int64_t work(const Propagation<In>& p) { return 2 * p.capacity; }

  __device__ BestOf(const Sampler<In>& sampler, float* work)
      : query(sampler),
        values(work),
        codes(reinterpret_cast<uint32_t*>(work) + sampler.p.capacity) {}

  __device__ void cut() {
    bar = keep_best(values, codes, count, query.p.topk);
    count = query.p.topk;
  }
  __device__ void take(const Window&, int t, int row, int column, bool counts, float logit) {
    const int side = query.p.side();
    const bool wanted = counts && !(logit <= bar);
    count = append(values, codes, count, wanted, logit, (t * side + row) * side + column);
    if (count > query.p.capacity - LANES) cut();
  }
  __device__ void finish() {
    if (count > query.p.topk) cut();
    __syncwarp();
    read_out(query.p, values, codes, count, query.b, query.y, query.x, query);
    __syncwarp();
  }
};

// The softmax over all candidates of one query. Every lane sums its own candidates, relative to
// exp(scale * its top).
template <typename In>
struct AllOf {
  const Sampler<In>& query;
  float* sums;  // [class][lane]
  float top = -INFINITY, total = 0.f;
  bool found = false;

  static int64_t work(const Propagation<In>& p) { return static_cast<int64_t>(LANES) * p.classes; }

  __device__ AllOf(const Sampler<In>& sampler, float* work) : query(sampler), sums(work) {
    for (int c = 0; c < query.p.classes; ++c) sums[c * LANES + lane_id()] = 0.f;
  }

  __device__ void take(const Window& window, int t, int row, int column, bool counts,
                       float logit) {
    if (!counts) return;
    found = true;
    const float highest = fmaxf(top, logit), base = exponent_base(highest);
    const float shrink = expf(query.p.scale * (top - base));
    const float weight = expf(query.p.scale * (logit - base));
    top = highest;
    total = total * shrink + weight;
    for (int c = 0; c < query.p.classes; ++c) {
      float& sum = sums[c * LANES + lane_id()];
      sum = sum * shrink + weight * query.at(c, window, t, row, column);
    }
  }

  __device__ void finish() {
    const Propagation<In>& p = query.p;
    const float base = exponent_base(warp_max(top));
    const float shrink = expf(p.scale * (top - base));
    total = warp_sum(total * shrink);
    const bool any = __any_sync(ALL, found);
    for (int c = 0; c < p.classes; ++c) {
      const float sum = warp_sum(sums[c * LANES + lane_id()] * shrink);
      if (lane_id() == 0) p.write(query.b, c, query.y, query.x, any ? sum / total : 0.f);
    }
    if (lane_id() == 0) p.write_lse(query.b, query.y, query.x, p.scale * base + logf(total));
  }
};

template <typename In, typename Reader>
__device__ void propagate_query(const Propagation<In>& p, const Sampler<In>& query, float* dots,
                                float* work) {
  Reader reader(query, work);
  const In* features = p.query.at(query.b, 0, query.y, query.x);
  const Axis axis{p.radius, 1, p.offset.data != nullptr};
  for (int t = 0; t < p.refs; ++t) {
    const Window window(p, query.b, t, query.y, query.x);
    Sweep<In> sweep{dots, features, p.query.c, p.keys.at(query.b, t), p.keys, axis, window.y,
                    window.x, p.channels, p.h, p.w};
    for (int row = 0; row < p.side(); ++row) {
      sweep.next();
      const bool row_inside = window.y.inside(row - p.radius, p.h);
      for (int first = 0; first < p.side(); first += LANES) {
        const int column = first + lane_id();
        const bool counts =
            column < p.side() &&
            (!p.mask || (row_inside && window.x.inside(column - p.radius, p.w)));
        reader.take(window, t, row, column, counts, column < p.side() ? sweep.at(column) : 0.f);
      }
    }
  }
  reader.finish();
}

template <typename In, bool TOPK>
__global__ void __launch_bounds__(LANES, 16) queries_kernel(const Propagation<In> p,
                                                            float* scratch, int64_t words) {
  using Reader = typename std::conditional<TOPK, BestOf<In>, AllOf<In>>::type;
  MMVOS_DYNAMIC_SHARED(shared);
  float* work = scratch ? scratch + blockIdx.x * words : reinterpret_cast<float*>(shared);
  const int64_t count = static_cast<int64_t>(p.batch) * p.h * p.w;
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const int x = i % p.w, y = i / p.w % p.h, b = i / p.w / p.h;
    propagate_query<In, Reader>(p, Sampler<In>{p, b, y, x}, work, work + 2 * (p.side() + 1));
  }
}

template <typename In, bool TOPK>
int run(const Propagation<In>& p, size_t shared_limit, cudaStream_t stream) {
  using Reader = typename std::conditional<TOPK, BestOf<In>, AllOf<In>>::type;
  const int64_t queries = static_cast<int64_t>(p.batch) * p.h * p.w;
  const int64_t words = 2 * (p.side() + 1) + Reader::work(p);
  const size_t bytes = sizeof(float) * words;
  const auto kernel = queries_kernel<In, TOPK>;
  if (queries == 0) return 0;
  if (bytes <= shared_limit) {
    return launch(kernel, std::min<int64_t>(queries, INT_MAX), LANES, bytes, stream, p,
                  static_cast<float*>(nullptr), words);
  }
  const int64_t blocks =
      std::min<int64_t>(queries, std::max<int64_t>(1, SCRATCH_BYTES / bytes));
  void* scratch = nullptr;
  if (check(cudaMallocAsync(&scratch, blocks * bytes, stream), "cudaMallocAsync")) return 1;
  const int failed = launch(kernel, blocks, LANES, 0, stream, p, static_cast<float*>(scratch),
                            words);
  return check(cudaFreeAsync(scratch, stream), "cudaFreeAsync") || failed;
}

}  // namespace

template <typename In>
int propagate_queries(const Propagation<In>& p, size_t shared_limit, cudaStream_t stream) {
  return p.topk ? run<In, true>(p, shared_limit, stream) : run<In, false>(p, shared_limit, stream);
}

template int propagate_queries(const Propagation<float>&, size_t, cudaStream_t);
template int propagate_queries(const Propagation<__nv_bfloat16>&, size_t, cudaStream_t);
template int propagate_queries(const Propagation<__half>&, size_t, cudaStream_t);

}  // namespace mmvos
