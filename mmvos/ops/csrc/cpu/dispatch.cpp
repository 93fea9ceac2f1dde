// Entry points of libmmvos_cpu: instruction set, threads, errors.
#include <atomic>
#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "threads.h"
#ifdef MMVOS_X86
#include <xmmintrin.h>
#endif

#define MMVOS_INSTRUCTION_SET(isa) \
  namespace isa {                  \
  extern const mmvos::Kernels kernels; \
  }
MMVOS_INSTRUCTION_SET(baseline)
#ifdef MMVOS_HAS_AVX2
MMVOS_INSTRUCTION_SET(avx2)
#endif
#ifdef MMVOS_HAS_AVX512
MMVOS_INSTRUCTION_SET(avx512)
#endif
#ifdef MMVOS_HAS_AVX512_BF16
MMVOS_INSTRUCTION_SET(avx512_bf16)
#endif

namespace mmvos {

Threads::~Threads() {
  for (int i = 0; i < num_blocks_; ++i) std::free(blocks_[i]);
}

void* Threads::allocate(size_t bytes) {
  if (num_blocks_ == int(sizeof blocks_ / sizeof *blocks_)) throw std::bad_alloc();
  void* block = std::aligned_alloc(64, (bytes + 127) / 64 * 64);  // room for one vector more
  if (!block) throw std::bad_alloc();
  return blocks_[num_blocks_++] = block;
}

namespace {

// Subnormal numbers are 0 in this thread while this lives. Shares of a softmax that nothing can see
// are as small as that, and a processor takes ten times as long over them.
struct FlushSubnormals {
#ifdef MMVOS_X86
  const unsigned before = _mm_getcsr();
  FlushSubnormals() { _mm_setcsr(before | 0x8040); }  // flush to zero, subnormals are zero
  ~FlushSubnormals() { _mm_setcsr(before); }
#endif
};

}  // namespace

void Threads::run(int64_t units, size_t scratch_bytes, Task task, void* args) {
  if (!units) return;
  const int64_t workers = count_ < units ? count_ : units;
  const size_t bytes = (scratch_bytes + 127) / 64 * 64;
  struct Scratch {
    std::vector<char*> of;
    ~Scratch() { for (char* p : of) std::free(p); }
  } scratch;
  scratch.of.resize(workers);
  for (int64_t i = 0; i < workers; ++i) {
    scratch.of[i] = static_cast<char*>(std::aligned_alloc(64, bytes));
    if (!scratch.of[i]) throw std::bad_alloc();
  }

  std::atomic<int64_t> next{0};
  auto work = [&](int64_t worker) {
    [[maybe_unused]] const FlushSubnormals flush;
    for (int64_t unit; (unit = next.fetch_add(1)) < units;)
      task(args, unit, scratch.of[worker]);
  };
  std::vector<std::thread> threads;
  try {
    for (int64_t i = 1; i < workers; ++i) threads.emplace_back(work, i);
  } catch (const std::exception&) {
    // no more threads or memory to be had: those that are there do the work
  }
  work(0);
  for (std::thread& thread : threads) thread.join();
}

void fail(const char* why) { throw std::runtime_error(why); }

namespace {

thread_local std::string error;

struct InstructionSet {
  const char* name;
  const Kernels* kernels;  // null: not compiled
  bool runs;
};

InstructionSet instruction_set(int index) {
#ifdef MMVOS_X86
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  switch (index) {
    case 1: return {"baseline", &baseline::kernels, true};
#ifdef MMVOS_HAS_AVX2
    case 2: return {"avx2", &avx2::kernels, has_avx2};
#endif
#ifdef MMVOS_HAS_AVX512
    case 3: return {"avx512", &avx512::kernels, has_avx512};
#endif
#ifdef MMVOS_HAS_AVX512_BF16
    case 4:
      return {"avx512_bf16", &avx512_bf16::kernels,
              has_avx512 && __builtin_cpu_supports("avx512bf16")};
#endif
    default: return {"unknown", nullptr, false};
  }
}

int best() {
  for (int index = 4; index > 1; --index)
    if (instruction_set(index).runs) return index;
  return 1;
}

// Runs f(kernels, threads) if there is anything to compute; errors become text.
template <class F>
int guarded(const MMVOSTensor& in, const MMVOSTensor& out, const MMVOSContext* context, F f) {
  try {
    if (in.type > MMVOS_BF16) fail("the CPU kernels take float32, float64 and bfloat16");
    const int index = context->isa ? context->isa : best();
    const InstructionSet chosen = instruction_set(index);
    if (!chosen.runs)
      fail(("instruction set " + std::to_string(index) + " is not compiled or does not run on "
            "this processor; unset MMVOS_CPU_ISA").c_str());
    for (int i = 0; i < out.ndim; ++i)
      if (!out.size[i]) return 0;
    Threads threads(context->device);
    f(*chosen.kernels, threads);
    return 0;
  } catch (const std::bad_alloc&) {
    error = "out of memory";
  } catch (const std::exception& reason) {
    error = reason.what();
  }
  return 1;
}

}  // namespace
}  // namespace mmvos

using mmvos::guarded;
using mmvos::Kernels;
using mmvos::Threads;

int mmvos_abi() { return MMVOS_ABI; }
const char* mmvos_error() { return mmvos::error.c_str(); }

const char* mmvos_instruction_set(int32_t index) {
  const mmvos::InstructionSet chosen = mmvos::instruction_set(index ? index : mmvos::best());
  return chosen.runs ? chosen.name : "";
}

int mmvos_local_correlation(const MMVOSTensor* query, const MMVOSTensor* key,
                            const MMVOSTensor* coords, MMVOSTensor* out, int32_t radius,
                            int32_t dilation, const MMVOSContext* context) {
  return guarded(*query, *out, context, [&](const Kernels& kernels, Threads& threads) {
    kernels.correlation(*query, *key, coords, *out, radius, dilation, threads);
  });
}

int mmvos_local_correlation_backward(const MMVOSTensor* grad, const MMVOSTensor* query,
                                     const MMVOSTensor* key, const MMVOSTensor* coords,
                                     MMVOSTensor* grad_query, MMVOSTensor* grad_key,
                                     int32_t radius, int32_t dilation,
                                     const MMVOSContext* context) {
  const bool cells = grad_query->size[2] && grad_query->size[3];  // else grad_key is 0, not nothing
  const MMVOSTensor& out = cells ? *grad_query : *grad_key;
  return guarded(*query, out, context, [&](const Kernels& kernels, Threads& threads) {
    kernels.correlation_backward(*grad, *query, *key, coords, *grad_query, *grad_key, radius,
                                 dilation, threads);
  });
}

int mmvos_local_propagation(const MMVOSTensor* query, const MMVOSTensor* keys,
                            const MMVOSTensor* values, const MMVOSTensor* offset, MMVOSTensor* out,
                            MMVOSTensor* lse, int32_t radius, int32_t topk, double scale,
                            int32_t mask, const MMVOSContext* context) {
  return guarded(*query, *lse, context, [&](const Kernels& kernels, Threads& threads) {
    kernels.propagation(*query, *keys, *values, offset, *out, *lse, radius, topk, scale, mask,
                        threads);
  });
}

int mmvos_local_propagation_backward(const MMVOSTensor* grad, const MMVOSTensor* query,
                                     const MMVOSTensor* keys, const MMVOSTensor* values,
                                     const MMVOSTensor* out, const MMVOSTensor* lse,
                                     MMVOSTensor* grad_query, MMVOSTensor* grad_keys,
                                     MMVOSTensor* grad_values, int32_t radius, double scale,
                                     const MMVOSContext* context) {
  return guarded(*query, *lse, context, [&](const Kernels& kernels, Threads& threads) {
    kernels.propagation_backward(*grad, *query, *keys, *values, *out, *lse, *grad_query,
                                 *grad_keys, *grad_values, radius, scale, threads);
  });
}

int mmvos_warp(const MMVOSTensor* x, const MMVOSTensor* flow, MMVOSTensor* out,
               const MMVOSContext* context) {
  return guarded(*x, *out, context, [&](const Kernels& kernels, Threads& threads) {
    kernels.warp(*x, *flow, *out, threads);
  });
}
