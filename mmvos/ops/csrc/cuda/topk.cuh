// The k largest of a stream of numbers, by one warp: a buffer that is cut back to k when full.
#pragma once
#include "common.cuh"

namespace mmvos {

// Room for k numbers, for the 32 of one step and for some more, so that cuts are rare.
inline int64_t buffer_capacity(int64_t k) {
  const int64_t more = k / 4 > 24 ? k / 4 : 24;
  return ceil_div(k + LANES + more, LANES) * LANES;
}

// An unsigned number that grows with x; NaN is the largest.
__device__ inline uint32_t to_image(float x) {
  if (x != x) return 0xffffffffu;
  const uint32_t bits = __float_as_uint(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ inline float from_image(uint32_t image) {
  if (image >= 0xff800000u) return __uint_as_float(0x7f800000u);  // a bar of NaN stops nothing
  return __uint_as_float(image & 0x80000000u ? image & 0x7fffffffu : ~image);
}

// Adds the x of every lane that wants to, in the order of the lanes; returns the new count.
__device__ inline int append(float* values, uint32_t* codes, int count, bool wanted, float x,
                             uint32_t code) {
  const unsigned votes = __ballot_sync(ALL, wanted);
  if (wanted) {
    const int slot = count + __popc(votes & ((1u << lane_id()) - 1));
    values[slot] = x;
    codes[slot] = code;
  }
  return count + __popc(votes);
}

__device__ inline int count_from(const float* values, int count, uint32_t bar) {
  int found = 0;
  for (int first = 0; first < count; first += LANES) {
    const int i = first + lane_id();
    found += __popc(__ballot_sync(ALL, i < count && to_image(values[i]) >= bar));
  }
  return found;
}

// The largest bar that k numbers reach, or one that exactly k reach; count(bar) tells how many do.
template <typename Count>
__device__ uint32_t bisect(int k, Count count) {
  uint32_t bar = 0;
  for (uint32_t bit = 0x80000000u; bit; bit >>= 1) {
    const int found = count(bar | bit);
    if (found >= k) bar |= bit;
    if (found == k) break;
  }
  return bar;
}

__device__ inline uint32_t find_bar(const float* values, int count, int k) {
  constexpr int KEPT = 4;  // as many numbers as a lane can hold in registers
  if (count > KEPT * LANES) {
    return bisect(k, [&](uint32_t bar) { return count_from(values, count, bar); });
  }
  uint32_t images[KEPT];
#pragma unroll
  for (int j = 0; j < KEPT; ++j) {
    const int i = j * LANES + lane_id();
    images[j] = i < count ? to_image(values[i]) : 0;
  }
  return bisect(k, [&](uint32_t bar) {
    int found = 0;
#pragma unroll
    for (int j = 0; j < KEPT; ++j) found += __popc(__ballot_sync(ALL, images[j] >= bar));
    return found;
  });
}

// Leaves the k largest, in their order (of equal ones the first, so that every run chooses the
// same), and returns the bar that a later value must pass. count > k.
__device__ inline float keep_best(float* values, uint32_t* codes, int count, int k) {
  __syncwarp();
  const uint32_t bar = find_bar(values, count, k);
  int ties = k - (bar == ALL ? 0 : count_from(values, count, bar + 1));
  const unsigned below = (1u << lane_id()) - 1;
  int kept = 0;
  for (int first = 0; first < count; first += LANES) {
    const int i = first + lane_id();
    const float value = i < count ? values[i] : 0.f;
    const uint32_t code = i < count ? codes[i] : 0;
    const uint32_t image = to_image(value);
    const bool equal = i < count && image == bar;
    const unsigned equals = __ballot_sync(ALL, equal);
    const bool keep = (i < count && image > bar) || (equal && __popc(equals & below) < ties);
    __syncwarp();  // writes go to places that were read
    kept = append(values, codes, kept, keep, value, code);
    ties -= min(ties, __popc(equals));
  }
  __syncwarp();
  return from_image(bar);
}

}  // namespace mmvos
