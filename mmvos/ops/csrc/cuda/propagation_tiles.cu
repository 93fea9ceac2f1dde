// local_propagation without offset: a warp takes OWN neighbouring queries, so that a key that was
// read once serves all of them.
#include <type_traits>

#include "propagation.cuh"
#include "tile.cuh"
#include "topk.cuh"

namespace mmvos {
namespace {

constexpr int ROWS = 4, CHUNK = 32;  // key rows and channels that are staged at a time
constexpr int SCORES = ROWS * LANES * OWN;
constexpr int STAGE = ROWS * CHUNK * PITCH;
static_assert(WARPS * SCORES <= STAGE, "the scores take the place of the keys they came from");

// The i-th of n in order of the distance from the middle.
__device__ int centre_out(int i, int n) {
  return (n - 1) / 2 + (i % 2 ? (i + 1) / 2 : -(i / 2));
}

// The queries of a warp, and where a group's cells lie in their windows.
template <typename In>
struct Queries {
  const Propagation<In>& p;
  int b, y, x;

  __device__ int window_row(int row) const { return row - y + p.radius; }
  __device__ bool meets(int row) const {
    return y < p.h && row <= y + p.radius && row + ROWS > y - p.radius;
  }
  // Whether a column belongs to the window of query q.
  __device__ bool has_column(int q, int column) const {
    return x + q < p.w && within(column - (x + q) + p.radius, p.side());
  }
};

// The k best of each query: values and codes in shared memory, the count and the bar that a new
// value must pass in the registers of lane q.
template <typename In>
struct BestOf {
  const Queries<In>& own;
  float* values;
  uint32_t* codes;
  int capacity, count = 0;
  float bar = NAN;  // nothing is <= NaN: all may pass

  static int64_t work(const Propagation<In>& p) { return 2 * OWN * p.capacity; }

  __device__ BestOf(const Queries<In>& queries, float* work)
      : own(queries),
        values(work),
        codes(reinterpret_cast<uint32_t*>(work) + OWN * queries.p.capacity),
        capacity(static_cast<int>(queries.p.capacity)) {}

  __device__ void cut(int q) {
    const int n = __shfl_sync(ALL, count, q), k = own.p.topk;
    const float passed = keep_best(values + q * capacity, codes + q * capacity, n, k);
    if (lane_id() == q) {
      bar = passed;
      count = k;
    }
  }

  // Bit q of queries: whether the column belongs to the window of query q.
  __device__ void take_row(const float* scores, int t, int row, int column, unsigned queries) {
    const Propagation<In>& p = own.p;
    const bool inside = within(row, p.h) && within(column, p.w);
    if (!inside && p.mask) queries = 0;
    const float4* place = reinterpret_cast<const float4*>(scores);
    const float4 a = place[0], b = place[1];
    const float logits[OWN] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
    const int first = (t * p.side() + own.window_row(row)) * p.side() + column - own.x + p.radius;
    unsigned full = 0;
#pragma unroll
    for (int q = 0; q < OWN; ++q) {
      const float passed = __shfl_sync(ALL, bar, q);
      const bool wanted = (queries >> q & 1) && !(logits[q] <= passed);
      if (!__any_sync(ALL, wanted)) continue;
      const int n = append(values + q * capacity, codes + q * capacity,
                           __shfl_sync(ALL, count, q), wanted, logits[q], first - q);
      if (lane_id() == q) count = n;
      if (n > capacity - LANES) full |= 1u << q;
    }
    for (; full; full &= full - 1) cut(__ffs(full) - 1);
  }

  __device__ void take(const float* scores, int t, const Group& group) {
    const int column = group.column + lane_id();
    unsigned queries = 0;
#pragma unroll
    for (int q = 0; q < OWN; ++q) queries |= static_cast<unsigned>(own.has_column(q, column)) << q;
#pragma unroll 1
    for (int r = 0; r < ROWS; ++r) {
      if (!within(own.window_row(group.row + r), own.p.side())) continue;
      take_row(scores + (r * LANES + lane_id()) * OWN, t, group.row + r, column, queries);
    }
  }

  __device__ void finish() {
    const Propagation<In>& p = own.p;
    for (int q = 0; q < OWN && own.x + q < p.w; ++q) {
      if (__shfl_sync(ALL, count, q) > p.topk) cut(q);
      __syncwarp();
      const int x = own.x + q;
      const auto value_of = [&](int c, uint32_t code) {
        const Candidate from(code, p.side());
        const int row = own.y + from.row - p.radius, column = x + from.column - p.radius;
        if (!within(row, p.h) || !within(column, p.w)) return 0.f;
        return p.values.at(own.b, from.t, row, column)[c * p.values.c];
      };
      read_out(p, values + q * capacity, codes + q * capacity, __shfl_sync(ALL, count, q), own.b,
               own.y, x, value_of);
    }
  }
};

// The softmax over all candidates. Lane l has query l % OWN and a quarter of the columns; what it
// has summed so far counts relative to exp(scale * top).
template <typename In>
struct AllOf {
  static constexpr int PARTS = LANES / OWN, COLUMNS = LANES / PARTS;
  const Queries<In>& own;
  float* sums;  // [class][lane]
  float top = -INFINITY, total = 0.f;

  static int64_t work(const Propagation<In>& p) { return static_cast<int64_t>(LANES) * p.classes; }

  __device__ AllOf(const Queries<In>& queries, float* work) : own(queries), sums(work) {
    for (int c = 0; c < own.p.classes; ++c) sums[c * LANES + lane_id()] = 0.f;
  }

  // Calls use(row, column, bit, place of the score) for every cell of this lane.
  template <typename Use>
  __device__ void each(const Group& group, Use use) const {
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
#pragma unroll
      for (int j = 0; j < COLUMNS; ++j) {
        use(group.row + r, group.column + j * PARTS + lane_id() / OWN, 1u << (r * COLUMNS + j),
            r * LANES * OWN + j * LANES + lane_id());
      }
    }
  }

  __device__ void take(float* scores, int t, const Group& group) {
    const Propagation<In>& p = own.p;
    unsigned counts = 0, inside = 0;
    float highest = top;
    each(group, [&](int row, int column, unsigned bit, int place) {
      if (!within(own.window_row(row), p.side())) return;
      if (!own.has_column(lane_id() % OWN, column)) return;
      const bool in = within(row, p.h) && within(column, p.w);
      if (in) inside |= bit;
      if (in || !p.mask) counts |= bit;
      if (counts & bit) highest = fmaxf(highest, scores[place]);
    });
    for (int step = OWN; step < LANES; step *= 2) {
      highest = fmaxf(highest, __shfl_xor_sync(ALL, highest, step));
    }
    const float base = exponent_base(highest);
    const float shrink = expf(p.scale * (top - base));
    top = highest;
    total *= shrink;
    each(group, [&](int, int, unsigned bit, int place) {
      scores[place] = counts & bit ? expf(p.scale * (scores[place] - base)) : 0.f;
      total += scores[place];
    });
    const float* values = p.values.at(own.b, t);
    for (int c = 0; c < p.classes; ++c, values += p.values.c) {
      float sum = sums[c * LANES + lane_id()] * shrink;
      each(group, [&](int row, int column, unsigned bit, int place) {
        if (inside & bit) {
          sum = fmaf(scores[place], values[row * p.values.y + column * p.values.x], sum);
        }
      });
      sums[c * LANES + lane_id()] = sum;
    }
  }

  __device__ float over_parts(float x) const {
    for (int step = OWN; step < LANES; step *= 2) x += __shfl_xor_sync(ALL, x, step);
    return x;
  }

  __device__ void finish() {
    const Propagation<In>& p = own.p;
    const int x = own.x + lane_id() % OWN;
    const bool writes = lane_id() < OWN && x < p.w;
    total = over_parts(total);
    for (int c = 0; c < p.classes; ++c) {
      const float sum = over_parts(sums[c * LANES + lane_id()]);
      if (writes) p.write(own.b, c, own.y, x, sum / total);
    }
    if (writes) p.write_lse(own.b, own.y, x, p.scale * exponent_base(top) + logf(total));
  }
};

// The logits of one group of keys for the queries of every warp, to scores.
template <typename In>
__device__ void score_group(const Propagation<In>& p, const float* own, float* rows, float* scores,
                            const In* keys, const Group& group, bool meets) {
  float sum[ROWS][OWN] = {};
  for (int first = 0; first < p.channels; first += CHUNK) {
    const int count = min(CHUNK, p.channels - first);
    __syncthreads();  // all have used what lies there
    stage_rows<ROWS, CHUNK>(rows, keys + first * p.keys.c, p.keys, group, count, p.h, p.w);
    __syncthreads();
    if (meets) add_dots<ROWS, CHUNK>(sum, own + first * CELLS, rows, count);
  }
  __syncthreads();  // nobody reads the keys any more
  if (meets) store_scores<ROWS>(scores, sum);
  __syncwarp();
}

template <typename In, bool TOPK>
__global__ void __launch_bounds__(THREADS, 4) tiles_kernel(const Propagation<In> p) {
  using Reader = typename std::conditional<TOPK, BestOf<In>, AllOf<In>>::type;
  MMVOS_DYNAMIC_SHARED(shared);
  float* rows = reinterpret_cast<float*>(shared);
  float* own = rows + STAGE;
  float* work = own + p.channels * CELLS;
  float* scores = rows + warp_id() * SCORES;
  const Tile tile(p.h, p.w);
  const Queries<In> queries{p, tile.rest, tile.y + warp_id(), tile.x};
  Reader reader(queries, work + warp_id() * (TOPK ? 2 * OWN * p.capacity : LANES * p.classes));
  stage_own(own, p.query.at(tile.rest, 0), p.query, tile, p.channels, p.h, p.w);
  const int groups = count_groups(p.radius, ROWS), columns = count_columns(p.radius);
  for (int i = 0; i < groups; ++i) {  // the near ones raise the bar early
    for (int t = 0; t < p.refs; ++t) {
      for (int j = 0; j < columns; ++j) {
        const Group group{tile.y - p.radius + centre_out(i, groups) * ROWS,
                          tile.x - p.radius + j * LANES};
        if (p.mask && group.outside(ROWS, p.h, p.w)) continue;
        const bool meets = queries.meets(group.row);
        score_group(p, own, rows, scores, p.keys.at(tile.rest, t), group, meets);
        if (meets) reader.take(scores, t, group);
      }
    }
  }
  if (queries.y < p.h) reader.finish();
}

template <typename In, bool TOPK>
size_t shared_bytes(const Propagation<In>& p) {
  using Reader = typename std::conditional<TOPK, BestOf<In>, AllOf<In>>::type;
  return sizeof(float) * (STAGE + static_cast<int64_t>(p.channels) * CELLS +
                          WARPS * Reader::work(p));
}

}  // namespace

template <typename In>
int propagate_tiles(const Propagation<In>& p, size_t shared_limit, cudaStream_t stream,
                    bool* done) {
  const size_t shared = p.topk ? shared_bytes<In, true>(p) : shared_bytes<In, false>(p);
  *done = shared <= shared_limit;
  if (!*done) return 0;
  return launch(p.topk ? tiles_kernel<In, true> : tiles_kernel<In, false>,
                p.batch * count_tiles(p.h, p.w), THREADS, shared, stream, p);
}

template int propagate_tiles(const Propagation<float>&, size_t, cudaStream_t, bool*);
template int propagate_tiles(const Propagation<__nv_bfloat16>&, size_t, cudaStream_t, bool*);
template int propagate_tiles(const Propagation<__half>&, size_t, cudaStream_t, bool*);

}  // namespace mmvos
