// What all CUDA sources share: views of the tensors, number types, launches and errors.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <limits.h>

#include <string>

#include "../mmvos_ops.h"

#ifndef MMVOS_DYNAMIC_SHARED  // the emulation of the tests has its own
#define MMVOS_DYNAMIC_SHARED(name) extern __shared__ float4 name[]
#endif

namespace mmvos {

constexpr int LANES = 32;
constexpr unsigned ALL = 0xffffffffu;

// A tensor in the order (b, c, t, y, x), strides in elements; one it lacks is 0.
template <typename T>
struct Map {
  T* data;
  int64_t b, c, t, y, x;

  __device__ T* at(int batch, int time) const { return data + batch * b + time * t; }
  __device__ T* at(int batch, int time, int row, int column) const {
    return at(batch, time) + row * y + column * x;
  }
};

template <typename T>
Map<T> view(const MMVOSTensor* tensor, const char* axes) {
  Map<T> map = {};
  if (!tensor) return map;
  map.data = static_cast<T*>(tensor->data);
  for (int i = 0; i < tensor->ndim; ++i) {
    const int64_t stride = tensor->size[i] > 1 ? tensor->stride[i] : 0;
    switch (axes[i]) {
      case 'b': map.b = stride; break;
      case 'c': map.c = stride; break;
      case 't': map.t = stride; break;
      case 'y': map.y = stride; break;
      default: map.x = stride;
    }
  }
  return map;
}

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline float to_float(__half x) { return __half2float(x); }

__device__ inline bool within(int position, int size) {
  return static_cast<unsigned>(position) < static_cast<unsigned>(size);
}
__device__ inline int lane_id() { return threadIdx.x % LANES; }
__device__ inline int warp_id() { return threadIdx.x / LANES; }

__device__ inline float warp_sum(float x) {
  for (int step = LANES / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL, x, step);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int step = LANES / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL, x, step));
  return x;
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Both leave a text for mmvos_error() and return 1; check() returns 0 for cudaSuccess.
int fail(const std::string& text);
int check(cudaError_t error, const char* what);

template <typename... Parameters, typename... Arguments>
int launch(void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared,
           cudaStream_t stream, const Arguments&... arguments) {
  if (blocks == 0) return 0;
  if (blocks > INT_MAX) return fail("the maps are too large for one launch");
  if (shared > 48 * 1024) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
    if (error != cudaSuccess) return check(error, "cudaFuncSetAttribute");
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  return check(cudaLaunchKernelEx(&config, kernel, arguments...), "cudaLaunchKernelEx");
}

// The shared memory a block may ask for, in bytes.
inline size_t shared_limit(int device) {
  int bytes = 0;
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return static_cast<size_t>(bytes);
}

// function(In()) with the type of query and keys.
template <typename Function>
int with_type(int32_t type, Function function) {
  switch (type) {
    case MMVOS_F32: return function(float());
    case MMVOS_BF16: return function(__nv_bfloat16());
    case MMVOS_F16: return function(__half());
    default: return fail("the CUDA kernels take float32, bfloat16 and float16, not float64; "
                         "backend='torch' takes float64");
  }
}

}  // namespace mmvos
