// See cuda_runtime.h.
#pragma once
#include "cuda_runtime.h"

struct __half {
  uint16_t bits;
};
inline float __half2float(__half x) {
  const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  float size = ldexpf(static_cast<float>(fraction + (exponent ? 1024 : 0)),
                      (exponent ? exponent : 1) - 25);
  if (exponent == 31) size = fraction ? NAN : INFINITY;
  return x.bits & 0x8000 ? -size : size;
}
