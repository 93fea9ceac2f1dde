// Local correlation, backward. Nothing is added to one place by two threads: sums come out the
// same for every number of threads.
#include "correlation.h"

namespace MMVOS_ISA {
namespace {

template <class A>
struct Gradient {  // (side * side, h, w) of one batch item, contiguous
  const A* data;
  int64_t h, w;
  const A* row(int64_t d, int64_t y) const { return data + (d * h + y) * w; }
};

// Both gradients are one sum over the window: of the other map's cells times the volume's
// gradient, which for the query lies at the cell itself, for the key at the other cell.
template <class A>
struct GridBackward {
  static constexpr int L = LANES<A>, CHANNELS = 8;
  Grid<A> grid;
  Gradient<A> grad;
  A* target;    // A[channels][rows][columns] of this batch item
  bool to_key;  // else to the query

  const Rows<A>& other() const { return to_key ? grid.query : grid.key; }
  int64_t rows() const { return to_key ? grid.key_h : grid.h; }
  int64_t columns() const { return to_key ? grid.key_w : grid.w; }
  size_t scratch() const { return size_t(grid.side * grid.side * other().width) * sizeof(A); }

  static void task(void* args, int64_t y, char* scratch) {
    static_cast<const GridBackward*>(args)->row(y, reinterpret_cast<A*>(scratch));
  }
  void row(int64_t y, A* volume) const {
    const int64_t other_h = to_key ? grid.h : grid.key_h;
    for (int64_t dy = 0; dy < grid.side; ++dy) {
      const int64_t step = (dy - grid.radius) * grid.dilation, oy = to_key ? y - step : y + step;
      if (oy >= 0 && oy < other_h) copy(dy, to_key ? oy : y, volume);
    }
    for (int64_t x = 0; x < columns(); x += L)
      for (int64_t c = 0; c < other().groups; c += CHANNELS) cells(y, x, c, other_h, volume);
  }
  // The volume's gradient of one dy, in rows padded like those of the maps.
  void copy(int64_t dy, int64_t y, A* volume) const {
    const int64_t width = other().width, left = other().left;
    for (int64_t dx = 0; dx < grid.side; ++dx) {
      A* padded = volume + (dy * grid.side + dx) * width;
      memset(padded, 0, size_t(width) * sizeof(A));
      memcpy(padded + left, grad.row(dy * grid.side + dx, y), size_t(grad.w) * sizeof(A));
    }
  }
  void cells(int64_t y, int64_t x, int64_t first, int64_t other_h, const A* volume) const {
    const int64_t left = other().groups - first;
    const int64_t n = left < CHANNELS ? left : CHANNELS;
    Vec<A> sums[CHANNELS] = {};
    for (int64_t dy = 0; dy < grid.side; ++dy) {
      const int64_t step = (dy - grid.radius) * grid.dilation, oy = to_key ? y - step : y + step;
      if (oy < 0 || oy >= other_h) continue;
      const A* source = other().row(oy) + first * other().width + other().left + x;
      const A* g = volume + dy * grid.side * other().width + other().left + x;
      for (int64_t dx = 0; dx < grid.side; ++dx) {
        const int64_t shift = (dx - grid.radius) * grid.dilation * (to_key ? -1 : 1);
        const Vec<A> weight = load<Vec<A>>(g + dx * other().width + (to_key ? shift : 0));
        for (int64_t c = 0; c < n; ++c)
          sums[c] += weight * load<Vec<A>>(source + c * other().width + shift);
      }
    }
    const int64_t lanes = columns() - x < L ? columns() - x : L;
    for (int64_t c = 0; c < n; ++c)
      memcpy(target + ((first + c) * rows() + y) * columns() + x, &sums[c],
             size_t(lanes) * sizeof(A));
  }
};

// The query's gradient, cell by cell.
template <class A>
struct CoordsToQuery {
  Scattered<A> at;
  Gradient<A> grad;
  A* target;
  int64_t channels;

  static size_t scratch(const Scattered<A>& at) {
    return at.scratch() + size_t(at.query.n) * sizeof(A);
  }
  static void task(void* args, int64_t y, char* scratch) {
    const CoordsToQuery& job = *static_cast<CoordsToQuery*>(args);
    for (int64_t x = 0; x < job.at.w; ++x) job.cell(y, x, reinterpret_cast<A*>(scratch));
  }
  void cell(int64_t y, int64_t x, A* sums) const {
    const int64_t n = at.query.n, area = at.window.side * at.window.side;
    A *products = sums + n, *mixed = products + at.window.corners * at.window.corners;
    memset(sums, 0, size_t(n) * sizeof(A));
    const Window<A> here = at.placed(y, x);
    if (here.anywhere) {
      for (int64_t d = 0; d < area; ++d) mixed[d] = grad.row(d, y)[x];
      here.unmix(mixed, products);
      each_corner(here, at, [&](int64_t corner, int64_t py, int64_t px) {
        const A* key = at.key.at(py, px);
        for (int64_t c = 0; c < n; ++c) sums[c] += products[corner] * key[c];
      });
    }
    for (int64_t c = 0; c < channels; ++c) target[(c * at.h + y) * at.w + x] = sums[c];
  }

  template <class F>
  static void each_corner(const Window<A>& here, const Scattered<A>& at, F f) {
    for (int64_t i = 0; i < here.corners; ++i)
      for (int64_t j = 0; j < here.corners; ++j) {
        const int64_t py = here.y + here.step(i), px = here.x + here.step(j);
        if (py >= 0 && py < at.key_h && px >= 0 && px < at.key.w) f(i * here.corners + j, py, px);
      }
  }
};

// The key's gradient: a unit is a vector of channels, for which it visits every cell in order.
template <class A>
struct CoordsToKey {
  static constexpr int L = LANES<A>;
  Scattered<A> at;
  Gradient<A> grad;
  A* sums;  // A[units][key_h * key_w][L]
  A* target;
  int64_t channels;

  static void task(void* args, int64_t unit, char* scratch) {
    static_cast<const CoordsToKey*>(args)->block(unit, reinterpret_cast<A*>(scratch));
  }
  void block(int64_t unit, A* products) const {
    const int64_t cells = at.key_h * at.key.w, area = at.window.side * at.window.side;
    A* sum = sums + unit * cells * L;
    A* mixed = products + at.window.corners * at.window.corners;
    memset(sum, 0, size_t(cells * L) * sizeof(A));
    for (int64_t y = 0; y < at.h; ++y)
      for (int64_t x = 0; x < at.w; ++x) {
        const Window<A> here = at.placed(y, x);
        if (!here.anywhere) continue;
        for (int64_t d = 0; d < area; ++d) mixed[d] = grad.row(d, y)[x];
        here.unmix(mixed, products);
        const Vec<A> cell = load<Vec<A>>(at.query.at(y, x) + unit * L);
        CoordsToQuery<A>::each_corner(here, at, [&](int64_t corner, int64_t py, int64_t px) {
          A* place = sum + (py * at.key.w + px) * L;
          store(place, load<Vec<A>>(place) + products[corner] * cell);
        });
      }
    for (int64_t c = unit * L; c < channels && c < (unit + 1) * L; ++c)
      for (int64_t i = 0; i < cells; ++i) target[c * cells + i] = sum[i * L + c % L];
  }
};

template <class A>
void on_grid(const A* grad, const MMVOSTensor& query, const MMVOSTensor& key,
             MMVOSTensor& grad_query, MMVOSTensor& grad_key, int radius, int dilation,
             Threads& threads) {
  const Grid<A> grid = Grid<A>::of(query, key, radius, dilation, threads);
  const int64_t channels = query.size[1], volume = grid.side * grid.side * grid.h * grid.w;
  for (int64_t b = 0; b < query.size[0]; ++b) {
    grid.pack(query, key, b, threads);
    GridBackward<A> job{grid, {grad + b * volume, grid.h, grid.w},
                        static_cast<A*>(grad_query.data) + b * channels * grid.h * grid.w, false};
    threads.run(grid.h, job.scratch(), GridBackward<A>::task, &job);
    job.to_key = true;
    job.target = static_cast<A*>(grad_key.data) + b * channels * grid.key_h * grid.key_w;
    threads.run(grid.key_h, job.scratch(), GridBackward<A>::task, &job);
  }
}

template <class A>
void at_coords(const A* grad, const MMVOSTensor& query, const MMVOSTensor& key,
               const MMVOSTensor& coords, MMVOSTensor& grad_query, MMVOSTensor& grad_key,
               int radius, int dilation, Threads& threads) {
  Scattered<A> at = Scattered<A>::of(query, key, coords, radius, dilation, threads);
  const int64_t channels = query.size[1], key_cells = at.key_h * at.key.w;
  const int64_t area = at.window.side * at.window.side, units = at.query.n / LANES<A>;
  A* sums = threads.allocate_array<A>(units * key_cells * LANES<A>);
  for (int64_t b = 0; b < query.size[0]; ++b) {
    at.pack(query, key, b, threads);
    const Gradient<A> part{grad + b * area * at.h * at.w, at.h, at.w};
    CoordsToQuery<A> to_query{
        at, part, static_cast<A*>(grad_query.data) + b * channels * at.h * at.w, channels};
    threads.run(at.h, CoordsToQuery<A>::scratch(at), CoordsToQuery<A>::task, &to_query);
    CoordsToKey<A> to_key{at, part, sums,
                          static_cast<A*>(grad_key.data) + b * channels * key_cells, channels};
    threads.run(units, at.scratch(), CoordsToKey<A>::task, &to_key);
  }
}

template <class A>
void run(const MMVOSTensor& grad, const MMVOSTensor& query, const MMVOSTensor& key,
         const MMVOSTensor* coords, MMVOSTensor& grad_query, MMVOSTensor& grad_key, int radius,
         int dilation, Threads& threads) {
  const A* volume = static_cast<const A*>(grad.data);
  if (coords)
    at_coords<A>(volume, query, key, *coords, grad_query, grad_key, radius, dilation, threads);
  else
    on_grid<A>(volume, query, key, grad_query, grad_key, radius, dilation, threads);
}

}  // namespace

void correlation_backward(const MMVOSTensor& grad, const MMVOSTensor& query,
                          const MMVOSTensor& key, const MMVOSTensor* coords,
                          MMVOSTensor& grad_query, MMVOSTensor& grad_key, int radius,
                          int dilation, Threads& threads) {
  (query.type == MMVOS_F64 ? run<double> : run<float>)(grad, query, key, coords, grad_query,
                                                       grad_key, radius, dilation, threads);
}

}  // namespace MMVOS_ISA
