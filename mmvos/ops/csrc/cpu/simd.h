// Vectors of the instruction set that this file is compiled for (MMVOS_ISA is its namespace).
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace MMVOS_ISA {

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX2__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif

// A is the accumulator, float or double; Int has its width.
template <class A>
struct Simd;
template <>
struct Simd<float> {
  typedef float V __attribute__((vector_size(BYTES)));
  typedef int32_t I __attribute__((vector_size(BYTES)));
  typedef int32_t Int;
  typedef uint32_t Unsigned;
};
template <>
struct Simd<double> {
  typedef double V __attribute__((vector_size(BYTES)));
  typedef int64_t I __attribute__((vector_size(BYTES)));
  typedef int64_t Int;
  typedef uint64_t Unsigned;
};
template <class A>
using Vec = typename Simd<A>::V;
template <class A>
using IntVec = typename Simd<A>::I;
template <class A>
using Int = typename Simd<A>::Int;
template <class A>
using Unsigned = typename Simd<A>::Unsigned;
template <class A>
constexpr int LANES = BYTES / int(sizeof(A));

inline int64_t round_up(int64_t x, int64_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

template <class V, class T>
inline V load(const T* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}

template <class V, class T>
inline void store(T* p, V v) {
  memcpy(p, &v, sizeof v);
}

template <class A>
inline Vec<A> fill(A x) {
  return x - Vec<A>{};  // minus, because -0 + 0 would lose the sign
}

// Sums and maxima go pairwise over the lanes: the same on every machine with this width.
template <class A>
inline A sum(Vec<A> v) {
  A lanes[LANES<A>];
  store(lanes, v);
#pragma GCC unroll 8
  for (int n = LANES<A> / 2; n; n /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i) lanes[i] += lanes[i + n];
  return lanes[0];
}

template <class A>
inline A largest(Vec<A> v) {
  A lanes[LANES<A>];
  store(lanes, v);
  for (int n = LANES<A> / 2; n; n /= 2)
    for (int i = 0; i < n; ++i) lanes[i] = lanes[i] > lanes[i + n] ? lanes[i] : lanes[i + n];
  return lanes[0];
}

// One bit per lane that is all ones.
template <class A>
inline uint32_t bits(IntVec<A> mask) {
  uint32_t out = 0;
  for (int i = 0; i < LANES<A>; ++i) out |= uint32_t(mask[i] & 1) << i;
  return out;
}
#if defined(__AVX512F__)
template <>
inline uint32_t bits<float>(IntVec<float> mask) { return _mm512_movepi32_mask((__m512i)mask); }
template <>
inline uint32_t bits<double>(IntVec<double> mask) { return _mm512_movepi64_mask((__m512i)mask); }
#elif defined(__AVX2__)
template <>
inline uint32_t bits<float>(IntVec<float> mask) { return _mm256_movemask_ps((__m256)mask); }
template <>
inline uint32_t bits<double>(IntVec<double> mask) { return _mm256_movemask_pd((__m256d)mask); }
#endif

// Lanes that are not <= limit: larger, or NaN.
template <class A>
inline uint32_t bits_above(Vec<A> v, Vec<A> limit) { return bits<A>(~(v <= limit)); }
// Lanes that are >= limit.
template <class A>
inline uint32_t bits_from(IntVec<A> v, IntVec<A> limit) { return bits<A>(v >= limit); }
// Write the chosen lanes one after another to p; up to a whole vector at p is overwritten.
template <class T, class V>
inline void compress(T* p, V v, uint32_t chosen) {
  for (; chosen; chosen &= chosen - 1) *p++ = v[__builtin_ctz(chosen)];
}
#if defined(__AVX512F__)
template <>
inline uint32_t bits_above<float>(Vec<float> v, Vec<float> limit) {
  return _mm512_cmp_ps_mask((__m512)v, (__m512)limit, _CMP_NLE_UQ);
}
template <>
inline uint32_t bits_from<float>(IntVec<float> v, IntVec<float> limit) {
  return _mm512_cmpge_epi32_mask((__m512i)v, (__m512i)limit);
}
// through a register: the form that stores is microcode on some processors
template <>
inline void compress<float, Vec<float>>(float* p, Vec<float> v, uint32_t chosen) {
  _mm512_storeu_ps(p, _mm512_maskz_compress_ps(__mmask16(chosen), (__m512)v));
}
template <>
inline void compress<int32_t, IntVec<float>>(int32_t* p, IntVec<float> v, uint32_t chosen) {
  _mm512_storeu_si512(p, _mm512_maskz_compress_epi32(__mmask16(chosen), (__m512i)v));
}
#endif

// The lanes 0, 1, 2, ...
template <class A>
inline IntVec<A> iota() {
  Int<A> lanes[LANES<A>];
  for (int i = 0; i < LANES<A>; ++i) lanes[i] = i;
  return load<IntVec<A>>(lanes);
}

// All ones in lane i where bit i is set.
template <class A>
inline IntVec<A> mask_of(uint32_t chosen) {
  const IntVec<A> one = IntVec<A>{} + 1;
  return -((IntVec<A>{} + Int<A>(chosen)) >> iota<A>() & one);
}

template <class A>
inline Vec<A> keep(Vec<A> v, IntVec<A> mask) {
  return (Vec<A>)((IntVec<A>)v & mask);
}

// e^x to 2 ulp, 0 below -87.3; x is never above 0 here by more than rounding.
inline Vec<float> exponential(Vec<float> x) {
  const Vec<float> low = fill(-87.3f), magic = fill(12582912.f);
  const IntVec<float> tiny = x < low;
  x = tiny ? low : x;
  const Vec<float> shifted = x * 1.44269504f + magic, n = shifted - magic;
  const Vec<float> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  // Taylor to r^7 on |r| <= ln 2 / 2: relative error below 2e-8
  Vec<float> p = r * (1.f / 5040) + 1.f / 720;
  p = p * r + 1.f / 120;
  p = p * r + 1.f / 24;
  p = p * r + 1.f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  const IntVec<float> power = ((IntVec<float>)shifted - 0x4B400000 + 127) << 23;
  return keep<float>(p * (Vec<float>)power, ~tiny);
}

inline Vec<double> exponential(Vec<double> x) {
  for (int i = 0; i < LANES<double>; ++i) x[i] = exp(x[i]);
  return x;
}

}  // namespace MMVOS_ISA
