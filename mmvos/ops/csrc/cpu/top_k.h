// The k largest numbers of a stream, with what belongs to each.
#pragma once
#include "simd.h"

namespace MMVOS_ISA {

// Numbers above the k-th largest so far go into a buffer; when it is full, it is cut back to k.
// Of equal numbers those that came first stay. A NaN or +Inf leaves its mark in `broken`.
template <class A>
class TopK {
  static constexpr int L = LANES<A>;
  static constexpr A INFINITE = A(HUGE_VAL);

 public:
  A* values;
  Int<A>* codes;
  int64_t count;
  bool broken;

  static int64_t bytes(int64_t k) { return 3 * (full(k) + 2 * L) * int64_t(sizeof(A)); }

  void start(int64_t k, char* memory) {
    k_ = k;
    values = reinterpret_cast<A*>(memory);
    codes = reinterpret_cast<Int<A>*>(values + full(k) + 2 * L);
    keys_ = codes + full(k) + 2 * L;
    count = 0;
    broken = false;
    threshold_ = -INFINITE;
  }

  // One vector of candidates of which the lanes in `allowed` count; lane i has the code first + i.
  void offer(Vec<A> v, uint32_t allowed, Int<A> first) {
    const uint32_t chosen = bits_above<A>(v, fill(threshold_)) & allowed;
    if (!chosen) return;
    compress(values + count, v, chosen);
    compress(codes + count, iota<A>() + first, chosen);
    count += __builtin_popcount(chosen);
    if (count > full(k_)) cut();
  }

  void cut() {
    make_keys();
    if (count <= k_) return;
    bool exact;
    const Int<A> limit = kth(exact);
    keep_from(limit, exact ? k_ : k_ - count_above(limit));
    store(values + count, fill(INFINITE));
    Vec<A> low = fill(INFINITE);
    for (int64_t i = 0; i < count; i += L) {
      const Vec<A> v = load<Vec<A>>(values + i);
      low = v < low ? v : low;
    }
    threshold_ = -largest<A>(-low);
  }

 private:
  static int64_t full(int64_t k) { return round_up(k + (k > 96 ? k : 96), L); }

  // Integers in the order of the numbers.
  static IntVec<A> ordered(Vec<A> v) {
    const IntVec<A> i = (IntVec<A>)v;
    return i ^ ((i < 0) & Limits::LARGEST);
  }
  struct Limits {
    static constexpr Int<A> LARGEST = Int<A>(~uint64_t(0) >> (65 - 8 * sizeof(A)));
    static constexpr Int<A> SMALLEST = -LARGEST - 1;
  };

  void make_keys() {
    store(values + count, fill(-INFINITE));  // behind the last number
    for (int64_t i = 0; i < count; i += L) {
      const Vec<A> v = load<Vec<A>>(values + i);
      broken |= bits<A>(~(v < INFINITE)) != 0;
      store(keys_ + i, ordered(v));
    }
    store(keys_ + count, IntVec<A>{} + Limits::SMALLEST);
  }

  int64_t count_from(Int<A> limit) const {
    const IntVec<A> limits = IntVec<A>{} + limit;
    int64_t found = 0;
    for (int64_t i = 0; i < count; i += L)
      found += __builtin_popcount(bits_from<A>(load<IntVec<A>>(keys_ + i), limits));
    return found;
  }
  int64_t count_above(Int<A> limit) const {
    return limit == Limits::LARGEST ? 0 : count_from(limit + 1);
  }

  // The k-th largest key by bisection, or with `exact` a bound that k keys reach.
  Int<A> kth(bool& exact) const {
    IntVec<A> top = load<IntVec<A>>(keys_);
    for (int64_t i = L; i < count; i += L) {
      const IntVec<A> k = load<IntVec<A>>(keys_ + i);
      top = k > top ? k : top;
    }
    Int<A> low = ordered(fill(threshold_))[0], high = top[0];
    for (int i = 1; i < L; ++i) high = top[i] > high ? top[i] : high;
    exact = false;
    while (low < high && !exact) {
      const Unsigned<A> distance = Unsigned<A>(high) - Unsigned<A>(low);  // may not fit Int
      const Int<A> middle = Int<A>(Unsigned<A>(low) + (distance - distance / 2));
      const int64_t found = count_from(middle);
      exact = found == k_;
      if (found >= k_) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  // Keeps the keys above the limit and the first `spare` that equal it (all that reach it if
  // spare is k).
  void keep_from(Int<A> limit, int64_t spare) {
    const IntVec<A> limits = IntVec<A>{} + limit;
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i += L) {
      const IntVec<A> key = load<IntVec<A>>(keys_ + i), code = load<IntVec<A>>(codes + i);
      const Vec<A> v = load<Vec<A>>(values + i);
      uint32_t chosen = bits_from<A>(key, limits);
      for (uint32_t same = bits<A>(key == limits); same; same &= same - 1)
        if (spare) --spare;
        else chosen &= ~(same & -same);
      compress(values + kept, v, chosen);
      compress(codes + kept, code, chosen);
      kept += __builtin_popcount(chosen);
    }
    count = kept;
  }

  int64_t k_;
  Int<A>* keys_;
  A threshold_;
};

}  // namespace MMVOS_ISA
