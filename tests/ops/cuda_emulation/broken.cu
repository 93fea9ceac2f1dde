// Kernels with mistakes in them, for the tests that the emulation finds such mistakes.
#include <cuda_runtime.h>

namespace {

__global__ void never_meets(float* out) {
  if (threadIdx.x < 7) __syncwarp();
  __syncthreads();
  out[threadIdx.x] = 1.f;
}

__global__ void forgets_a_barrier(float* out) {
  MMVOS_DYNAMIC_SHARED(shared);
  float* numbers = reinterpret_cast<float*>(shared);
  numbers[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = numbers[(threadIdx.x + 32) % 64];
}

__global__ void reads_beyond_shared(float* out) {
  MMVOS_DYNAMIC_SHARED(shared);
  out[threadIdx.x] = reinterpret_cast<float*>(shared)[64 + threadIdx.x];
}

}  // namespace

// Returns what the launch returned; out has 64 floats.
extern "C" __attribute__((visibility("default"))) int emulation_broken(int which, float* out) {
  const auto kernel = which == 0   ? never_meets
                      : which == 1 ? forgets_a_barrier
                                   : reads_beyond_shared;
  const cudaLaunchConfig_t config = {dim3(1), dim3(64), 64 * sizeof(float), nullptr};
  return cudaLaunchKernelEx(&config, kernel, out);
}
