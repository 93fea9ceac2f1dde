// The C interface of both libraries, libmmvos_cpu and libmmvos_cuda: pointers, sizes and strides,
// no header of torch, so that one build serves every version of it.
#pragma once
#include <stdint.h>

#define MMVOS_ABI 2  // raised with every change below; library.py compares
#define MMVOS_API extern "C" __attribute__((visibility("default")))

enum MMVOSType : int32_t { MMVOS_F32 = 0, MMVOS_F64 = 1, MMVOS_BF16 = 2, MMVOS_F16 = 3 };

// Any strides, counted in elements; those of an axis of size 1 mean nothing.
struct MMVOSTensor {
  void* data;
  int64_t size[5];
  int64_t stride[5];
  int32_t ndim;
  int32_t type;
};

// CPU: device is the number of threads, isa the instruction set (0: the best that runs here).
// CUDA: device is the index of the GPU, stream a cudaStream_t; isa is not read.
struct MMVOSContext {
  int32_t device;
  int32_t isa;
  void* stream;
};

// query and keys have one type: F32, F64 (CPU only), BF16 or F16 (CUDA only). Every other tensor has
// the accumulator's: F64 beside F64, else F32. Outputs are contiguous and written whole; callers
// have checked shapes. A function returns 0, or 1 after it wrote why into mmvos_error().

MMVOS_API int mmvos_abi();
MMVOS_API const char* mmvos_error();  // of the calling thread
// CPU only: the name of an instruction set, 0: of the best; empty where it does not run.
MMVOS_API const char* mmvos_instruction_set(int32_t index);

// query (B,C,h,w), key (B,C,h2,w2) -> out (B,P*P,h,w):
// out[b, (dy+R)*P + dx+R, y, x] = <query[b,:,y,x], key at c + (dx,dy) * dilation>, with
// c = (x,y), or coords (B,2,h,w)[b,:,y,x] (x first) and key is sampled bilinearly; 0 outside.
MMVOS_API int mmvos_local_correlation(
    const MMVOSTensor* query, const MMVOSTensor* key, const MMVOSTensor* coords, MMVOSTensor* out,
    int32_t radius, int32_t dilation, const MMVOSContext* context);
MMVOS_API int mmvos_local_correlation_backward(
    const MMVOSTensor* grad, const MMVOSTensor* query, const MMVOSTensor* key,
    const MMVOSTensor* coords, MMVOSTensor* grad_query, MMVOSTensor* grad_key, int32_t radius,
    int32_t dilation, const MMVOSContext* context);

// query (B,C,h,w), keys (B,C,T,h,w), values (B,K,T,h,w), offset (B,T,2,h,w) or null
//   -> out (B,K,h,w), lse (B,h,w): log of the sum of exp(scale * logit) over what was chosen.
// topk 0: all candidates. mask 1: candidates outside the map are left out (out 0, lse -inf where
// none is left); mask 0: their logit is 0 and their value 0.
MMVOS_API int mmvos_local_propagation(
    const MMVOSTensor* query, const MMVOSTensor* keys, const MMVOSTensor* values,
    const MMVOSTensor* offset, MMVOSTensor* out, MMVOSTensor* lse, int32_t radius, int32_t topk,
    double scale, int32_t mask, const MMVOSContext* context);
// Of topk = 0 and offset = null.
MMVOS_API int mmvos_local_propagation_backward(
    const MMVOSTensor* grad, const MMVOSTensor* query, const MMVOSTensor* keys,
    const MMVOSTensor* values, const MMVOSTensor* out, const MMVOSTensor* lse,
    MMVOSTensor* grad_query, MMVOSTensor* grad_keys, MMVOSTensor* grad_values, int32_t radius,
    double scale, const MMVOSContext* context);

// CPU only. x (B,C,h,w), flow (B,2,h,w), x first -> out (B,C,h,w) in the type of x: x at p + flow(p),
// bilinear; 0 where less than 0.9999 of the bilinear weights lies in the map.
MMVOS_API int mmvos_warp(const MMVOSTensor* x, const MMVOSTensor* flow, MMVOSTensor* out,
                         const MMVOSContext* context);
