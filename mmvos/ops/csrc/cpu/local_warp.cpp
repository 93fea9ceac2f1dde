// Backward warping: out(p) = x(p + flow(p)). By whole flow, which MAMP has, it copies.
#include "kernels.h"
#include "pack.h"

namespace MMVOS_ISA {
namespace {

inline void put(float x, float* out) { *out = x; }
inline void put(double x, double* out) { *out = x; }
inline void put(float x, BFloat16* out) {  // to nearest, half to even; NaN stays NaN
  uint32_t all;
  memcpy(&all, &x, sizeof all);
  out->high = x != x ? 0x7fc0 : uint16_t((all + 0x7fff + (all >> 16 & 1)) >> 16);
}

// Where one cell reads: the cell left of and above it, how far it is from there, and the share of
// its weights that lies in the map. at -1: nowhere.
template <class A>
struct Source {
  int64_t at;
  A ax, ay, share;
};

template <class T, class A>
struct Warp {
  const MMVOSTensor &x, &flow;
  T* out;  // contiguous

  static void task(void* args, int64_t unit, char* scratch) {
    const Warp& job = *static_cast<Warp*>(args);
    const int64_t h = job.x.size[2];
    job.row(unit / h, unit % h, reinterpret_cast<Source<A>*>(scratch));
  }
  static A inside(A position, int64_t size) {  // sum of the weights on cells 0..size-1
    const A last = A(size - 1) - position, nearest = position < last ? position : last;
    return nearest >= 0 ? A(1) : nearest > -1 ? 1 + nearest : A(0);
  }
  // Whether all cells of the row read whole cells.
  bool find(int64_t b, int64_t y, Source<A>* sources) const {
    const int64_t h = x.size[2], w = x.size[3], *stride = flow.stride;
    const A* moves = static_cast<const A*>(flow.data) + b * stride[0] + y * stride[2];
    bool whole = true;
    for (int64_t i = 0; i < w; ++i) {
      const A px = A(i) + moves[i * stride[3]], py = A(y) + moves[stride[1] + i * stride[3]];
      sources[i] = {-1, 0, 0, 1};
      const A share = inside(px, w) * inside(py, h);
      if (!(share >= A(0.9999))) continue;  // NaN too
      const A left = px > 0 ? floor(px) : A(0), top = py > 0 ? floor(py) : A(0);
      sources[i] = {int64_t(top) * x.stride[2] + int64_t(left) * x.stride[3],
                    px > left && left < A(w - 1) ? px - left : A(0),
                    py > top && top < A(h - 1) ? py - top : A(0), share};
      whole &= sources[i].ax == 0 && sources[i].ay == 0 && share == 1;
    }
    return whole;
  }
  void row(int64_t b, int64_t y, Source<A>* sources) const {
    const int64_t channels = x.size[1], h = x.size[2], w = x.size[3];
    const bool whole = find(b, y, sources);
    for (int64_t c = 0; c < channels; ++c) {
      const T* map = static_cast<const T*>(x.data) + b * x.stride[0] + c * x.stride[1];
      T* line = out + ((b * channels + c) * h + y) * w;
      for (int64_t i = 0; whole && i < w; ++i)
        line[i] = sources[i].at < 0 ? T{} : map[sources[i].at];
      for (int64_t i = 0; !whole && i < w; ++i) put(mix(map, sources[i]), line + i);
    }
  }
  A mix(const T* map, const Source<A>& s) const {
    if (s.at < 0) return 0;
    const T* p = map + s.at;
    const int64_t right = s.ax > 0 ? x.stride[3] : 0, below = s.ay > 0 ? x.stride[2] : 0;
    const A above = (1 - s.ax) * number(p[0]) + s.ax * number(p[right]);
    const A under = (1 - s.ax) * number(p[below]) + s.ax * number(p[below + right]);
    return s.share * ((1 - s.ay) * above + s.ay * under);
  }
};

template <class T, class A>
void run(const MMVOSTensor& x, const MMVOSTensor& flow, MMVOSTensor& out, Threads& threads) {
  Warp<T, A> job{x, flow, static_cast<T*>(out.data)};
  threads.run(x.size[0] * x.size[2], size_t(x.size[3]) * sizeof(Source<A>), Warp<T, A>::task,
              &job);
}

}  // namespace

void warp(const MMVOSTensor& x, const MMVOSTensor& flow, MMVOSTensor& out, Threads& threads) {
  (x.type == MMVOS_F64    ? run<double, double>
   : x.type == MMVOS_BF16 ? run<BFloat16, float>
                          : run<float, float>)(x, flow, out, threads);
}

}  // namespace MMVOS_ISA
