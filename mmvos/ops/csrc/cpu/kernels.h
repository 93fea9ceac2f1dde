// What a kernel file of this instruction set defines; the types are those of mmvos::Kernels.
#pragma once
#include "threads.h"

namespace MMVOS_ISA {

using mmvos::Threads;

void correlation(const MMVOSTensor& query, const MMVOSTensor& key, const MMVOSTensor* coords,
                 MMVOSTensor& out, int radius, int dilation, Threads& threads);
void correlation_backward(const MMVOSTensor& grad, const MMVOSTensor& query,
                          const MMVOSTensor& key, const MMVOSTensor* coords,
                          MMVOSTensor& grad_query, MMVOSTensor& grad_key, int radius,
                          int dilation, Threads& threads);
void propagation(const MMVOSTensor& query, const MMVOSTensor& keys, const MMVOSTensor& values,
                 const MMVOSTensor* offset, MMVOSTensor& out, MMVOSTensor& lse, int radius,
                 int topk, double scale, bool mask, Threads& threads);
void propagation_backward(const MMVOSTensor& grad, const MMVOSTensor& query,
                          const MMVOSTensor& keys, const MMVOSTensor& values,
                          const MMVOSTensor& out, const MMVOSTensor& lse,
                          MMVOSTensor& grad_query, MMVOSTensor& grad_keys,
                          MMVOSTensor& grad_values, int radius, double scale, Threads& threads);
void warp(const MMVOSTensor& x, const MMVOSTensor& flow, MMVOSTensor& out, Threads& threads);

}  // namespace MMVOS_ISA
