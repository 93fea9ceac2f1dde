// The packed inputs of local correlation, which its forward and backward passes share.
#pragma once
#include "kernels.h"
#include "window.h"

namespace MMVOS_ISA {

// Windows around the grid's own positions.
template <class A>
struct Grid {
  int64_t radius, dilation, side, h, w, key_h, key_w;
  Rows<A> query, key;  // padded by the reach of a window on both sides

  static Grid of(const MMVOSTensor& query, const MMVOSTensor& key, int64_t radius,
                 int64_t dilation, Threads& threads) {
    const int64_t channels = query.size[1], h = query.size[2], w = query.size[3];
    const int64_t key_h = key.size[2], key_w = key.size[3], reach = radius * dilation;
    // whole vectors from any cell of either map, plus a window
    const int64_t longest = round_up(w > key_w ? w : key_w, LANES<A>);
    const int64_t width = spread(longest + LANES<A> + 2 * reach, sizeof(A));
    return {radius, dilation, 2 * radius + 1, h, w, key_h, key_w,
            {threads.allocate_array<A>(h * channels * width), channels, width, reach},
            {threads.allocate_array<A>(key_h * channels * width), channels, width, reach}};
  }
  void pack(const MMVOSTensor& q, const MMVOSTensor& k, int64_t b, Threads& threads) const {
    const Map maps[] = {map_of(q, 1, b * q.stride[0]), map_of(k, 1, b * k.stride[0])};
    pack_all(maps, 1, query, threads);
    pack_all(maps + 1, 1, key, threads);
  }
};

// Windows around coordinates.
template <class A>
struct Scattered {
  Window<A> window;
  int64_t h, w, key_h;
  Cells<A> query, key;
  const MMVOSTensor* coords;
  int64_t batch;

  static Scattered of(const MMVOSTensor& query, const MMVOSTensor& key, const MMVOSTensor& coords,
                      int64_t radius, int64_t dilation, Threads& threads) {
    const int64_t n = round_up(query.size[1], LANES<A>);
    const int64_t h = query.size[2], w = query.size[3], key_h = key.size[2], key_w = key.size[3];
    return {Window<A>(radius, dilation), h, w, key_h,
            {threads.allocate_array<A>(h * w * n), w, n},
            {threads.allocate_array<A>(key_h * key_w * n), key_w, n}, &coords, 0};
  }
  void pack(const MMVOSTensor& q, const MMVOSTensor& k, int64_t b, Threads& threads) {
    const Map maps[] = {map_of(q, 1, b * q.stride[0]), map_of(k, 1, b * k.stride[0])};
    pack_all(maps, 1, query, threads);
    pack_all(maps + 1, 1, key, threads);
    batch = b;
  }
  Window<A> placed(int64_t y, int64_t x) const {
    const int64_t* stride = coords->stride;
    const A* centre = static_cast<const A*>(coords->data) + batch * stride[0] + y * stride[2] +
                      x * stride[3];
    Window<A> here = window;
    here.centre(centre[0], centre[stride[1]]);
    return here;
  }
  size_t scratch() const {
    return size_t(window.corners * window.corners + window.side * window.side) * sizeof(A);
  }
};

}  // namespace MMVOS_ISA
