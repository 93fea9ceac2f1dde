// One cell's window around a centre of its own, between the cells of the key map.
#pragma once
#include "pack.h"

namespace MMVOS_ISA {

template <class A>
inline A dot(const A* a, const A* b, int64_t n) {  // n: whole vectors
  Vec<A> total = {};
  for (int64_t i = 0; i < n; i += LANES<A>) total += load<Vec<A>>(a + i) * load<Vec<A>>(b + i);
  return sum<A>(total);
}

// A product with a bilinear mix of keys is the bilinear mix of products with whole cells; windows
// of dilation 1 share those, so (2R+2)^2 products serve (2R+1)^2 positions.
template <class A>
struct Window {
  int64_t radius, dilation, side, corners;  // corners: cells per side that are looked at
  int64_t x = 0, y = 0;                     // the cell left of and above the centre
  A ax = 0, ay = 0;                         // how far the centre is from it
  bool anywhere = false;                    // near enough to the map to be worth a look

  explicit Window(int64_t radius = 0, int64_t dilation = 1)
      : radius(radius), dilation(dilation), side(2 * radius + 1),
        corners(dilation == 1 ? side + 1 : 2 * side) {}

  void centre(A cx, A cy) {
    const A far = 1 << 24;  // NaN and what no integer holds are outside the map
    anywhere = cx > -far && cx < far && cy > -far && cy < far;
    if (!anywhere) return;
    x = int64_t(floor(cx)), y = int64_t(floor(cy));
    ax = cx - A(x), ay = cy - A(y);
  }

  int64_t step(int64_t corner) const {  // cells from (x, y) to this corner, along one axis
    return dilation == 1 ? corner - radius : (corner / 2 - radius) * dilation + corner % 2;
  }
  int64_t first(int64_t d) const { return dilation == 1 ? d : 2 * d; }

  // Of position d = dy * side + dx: is it inside the map? A position is x + step + ax.
  bool inside(int64_t d, int64_t h, int64_t w) const {
    const int64_t px = x + (d % side - radius) * dilation, py = y + (d / side - radius) * dilation;
    return anywhere && px >= 0 && py >= 0 && px + (ax > 0) < w && py + (ay > 0) < h;
  }

  // Calls f(weight, row, column) for the corners of position d that lie inside the map.
  template <class F>
  void corners_of(int64_t d, int64_t h, int64_t w, F f) const {
    if (!anywhere) return;
    const int64_t px = x + (d % side - radius) * dilation, py = y + (d / side - radius) * dilation;
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 2; ++j)
        if (py + i >= 0 && py + i < h && px + j >= 0 && px + j < w)
          f((i ? ay : 1 - ay) * (j ? ax : 1 - ax), py + i, px + j);
  }

  // Products with every corner: A[corners][corners], 0 outside the map.
  void products(const A* cell, const Cells<A>& keys, int64_t row, int64_t h, A* out) const {
    memset(out, 0, size_t(corners * corners) * sizeof(A));
    for (int64_t i = 0; i < corners; ++i) {
      const int64_t py = y + step(i);
      if (py < 0 || py >= h) continue;
      for (int64_t j = 0; j < corners; ++j) {
        const int64_t px = x + step(j);
        if (px >= 0 && px < keys.w) out[i * corners + j] = dot(cell, keys.at(row + py, px), keys.n);
      }
    }
  }

  // Mixes products into A[side][side].
  void mix(const A* products, A* out) const {
    for (int64_t dy = 0; dy < side; ++dy)
      for (int64_t dx = 0; dx < side; ++dx) {
        const A* p = products + first(dy) * corners + first(dx);
        const A above = (1 - ax) * p[0] + ax * p[1];
        const A below = (1 - ax) * p[corners] + ax * p[corners + 1];
        out[dy * side + dx] = (1 - ay) * above + ay * below;
      }
  }

  // The transpose of `mix`: from gradients of positions to gradients of products. A row of positions
  // is spread along the row first, then over two rows of corners.
  void unmix(const A* grad, A* out) const {
    memset(out, 0, size_t(corners * corners) * sizeof(A));
    for (int64_t dy = 0; dy < side; ++dy) {
      const A* g = grad + dy * side;
      A *above = out + first(dy) * corners, *below = above + corners;
      const auto put = [&](int64_t corner, A share) {
        above[corner] += (1 - ay) * share;
        below[corner] += ay * share;
      };
      if (dilation > 1) {
        for (int64_t dx = 0; dx < side; ++dx) {
          put(2 * dx, (1 - ax) * g[dx]);
          put(2 * dx + 1, ax * g[dx]);
        }
        continue;
      }
      put(0, (1 - ax) * g[0]);
      for (int64_t dx = 1; dx < side; ++dx) put(dx, (1 - ax) * g[dx] + ax * g[dx - 1]);
      put(side, ax * g[side - 1]);
    }
  }
};

}  // namespace MMVOS_ISA
