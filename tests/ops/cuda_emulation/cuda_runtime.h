// A stand-in for CUDA's header, with which g++ compiles the kernels of mmvos for the CPU: just
// enough of the language and the runtime for them. Written for tests; see emulation.cpp.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <type_traits>

#define __host__
#define __device__
#define __global__
#define __launch_bounds__(...)
#define MMVOS_DYNAMIC_SHARED(name) float4* name = static_cast<float4*>(emulation::shared_memory())

struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

// ---------------------------------------------------------------------------- the runtime

enum cudaError_t { cudaSuccess, cudaErrorInvalidValue, cudaErrorLaunchFailure };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
using cudaStream_t = void*;

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDevice(int*);
cudaError_t cudaSetDevice(int);
cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int);
cudaError_t cudaMallocAsync(void**, size_t, cudaStream_t);
cudaError_t cudaFreeAsync(void*, cudaStream_t);
cudaError_t cudaMemsetAsync(void*, int, size_t, cudaStream_t);

namespace emulation {
void* shared_memory();
cudaError_t allow_shared(void* kernel, int bytes);
cudaError_t run(const cudaLaunchConfig_t&, void* kernel, const std::function<void()>& thread);

// What the threads of a warp or a block do together. Each call returns once all of them came.
enum class Together { sync_block, or_block, sync_warp, ballot, shuffle };
uint64_t meet(Together what, unsigned mask, uint64_t value, int from_lane = 0);
unsigned lane();
}  // namespace emulation

template <typename... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int bytes) {
  return emulation::allow_shared(reinterpret_cast<void*>(kernel), bytes);
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const std::tuple<Parameters...> copy(arguments...);
  return emulation::run(*config, reinterpret_cast<void*>(kernel),
                        [&] { std::apply(kernel, copy); });
}

// ---------------------------------------------------------------------------- the language

inline void __syncthreads() { emulation::meet(emulation::Together::sync_block, 0, 0); }
inline int __syncthreads_or(int x) {
  return static_cast<int>(emulation::meet(emulation::Together::or_block, 0, x != 0));
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  emulation::meet(emulation::Together::sync_warp, mask, 0);
}
inline unsigned __ballot_sync(unsigned mask, int x) {
  return static_cast<unsigned>(emulation::meet(emulation::Together::ballot, mask, x != 0));
}
inline int __any_sync(unsigned mask, int x) { return __ballot_sync(mask, x) != 0; }
inline int __all_sync(unsigned mask, int x) { return __ballot_sync(mask, x) == mask; }

template <typename T>
T __shfl_sync(unsigned mask, T x, int from) {
  static_assert(sizeof(T) == 4, "as much as a lane exchanges at once");
  uint32_t bits;
  memcpy(&bits, &x, 4);
  const uint64_t read = emulation::meet(emulation::Together::shuffle, mask, bits, from & 31);
  bits = static_cast<uint32_t>(read);
  memcpy(&x, &bits, 4);
  return x;
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T x, int step) {
  return __shfl_sync(mask, x, static_cast<int>(emulation::lane()) ^ step);
}

template <typename To, typename From>
To emulated_bits(From x) {
  To result;
  memcpy(&result, &x, 4);
  return result;
}
inline uint32_t __float_as_uint(float x) { return emulated_bits<uint32_t>(x); }
inline float __uint_as_float(uint32_t x) { return emulated_bits<float>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <typename T>
T min(T a, T b) {
  return b < a ? b : a;
}
inline float atomicAdd(float* place, float x) {
  uint32_t* bits = reinterpret_cast<uint32_t*>(place);
  uint32_t before = __atomic_load_n(bits, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(bits, &before, __float_as_uint(__uint_as_float(before) + x),
                                      false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return __uint_as_float(before);
}
