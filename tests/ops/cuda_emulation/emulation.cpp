// Runs a kernel launch on the CPU: one block after another, the threads of a block as fibers that
// take turns at the points where threads meet (barriers, votes, shuffles). It finds threads that
// wait for each other for ever, lanes that vote or shuffle without those their mask names, too
// much shared memory, and, built with a sanitizer, reads and writes out of bounds and races.
//
// Environment: MMVOS_EMULATION_ORDER  0 threads in order, 1 backwards, more: shuffled, as a seed
//              MMVOS_EMULATION_SHARED bytes of shared memory that a block may have
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(MMVOS_EMULATION_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {
namespace {

constexpr size_t STACK = 256 << 10;
constexpr unsigned LANES = 32;

struct Fiber {
  ucontext_t context;
  char* stack = nullptr;
  enum { ready, waiting, done } state = done;
  Together what;
  unsigned mask;
  uint64_t value, result;
  int from_lane;
  void* sanitizer = nullptr;
  unsigned meetings[2];  // of its warp and of its block
};

struct Machine {
  std::vector<Fiber> fibers;
  ucontext_t scheduler;
  void* scheduler_sanitizer = nullptr;
  const void* scheduler_stack = nullptr;
  size_t scheduler_size = 0;
  unsigned current = 0, threads = 0;
  std::vector<int> warp_waiting;
  unsigned block_waiting = 0, alive = 0;
  const std::function<void()>* thread = nullptr;
  void* shared = nullptr;
  std::string error;
  std::map<void*, int> allowed;
  int device = 0;
};
Machine machine;

long setting(const char* name, long otherwise) {
  const char* text = getenv(name);
  return text && *text ? atol(text) : otherwise;
}
long shared_limit() { return setting("MMVOS_EMULATION_SHARED", 227 * 1024); }

// ------------------------------------------------------------------ switching between fibers

void to_scheduler(bool for_ever) {
  Fiber& fiber = machine.fibers[machine.current];
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_ever ? nullptr : &fiber.sanitizer, machine.scheduler_stack,
                                 machine.scheduler_size);
#elif defined(MMVOS_EMULATION_TSAN)
  __tsan_switch_to_fiber(machine.scheduler_sanitizer, __tsan_switch_to_fiber_no_sync);
#endif
  (void)for_ever;
  swapcontext(&fiber.context, &machine.scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fiber.sanitizer, nullptr, nullptr);
#endif
}

void to_fiber(unsigned index) {
  Fiber& fiber = machine.fibers[index];
  machine.current = index;
  threadIdx = dim3(index, 0, 0);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&machine.scheduler_sanitizer, fiber.stack, STACK);
#elif defined(MMVOS_EMULATION_TSAN)
  machine.scheduler_sanitizer = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(fiber.sanitizer, __tsan_switch_to_fiber_no_sync);
#endif
  swapcontext(&machine.scheduler, &fiber.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(machine.scheduler_sanitizer, nullptr, nullptr);
#endif
}

void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &machine.scheduler_stack, &machine.scheduler_size);
#endif
  (*machine.thread)();
  machine.fibers[machine.current].state = Fiber::done;
#if defined(MMVOS_EMULATION_TSAN)
  __tsan_release(&machine.alive);  // what it wrote is there for the next launch
#endif
  to_scheduler(true);
}

void start(Fiber& fiber) {
#if defined(MMVOS_EMULATION_TSAN)
  if (fiber.stack) munmap(fiber.stack, STACK);  // what threads before did on it is no race
  fiber.stack = nullptr;
#endif
  if (!fiber.stack) {  // a page at the lower end catches an overflow
    fiber.stack = static_cast<char*>(mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(fiber.stack, 4096, PROT_NONE);
  }
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = STACK;
  fiber.context.uc_link = nullptr;
  fiber.state = Fiber::ready;
  fiber.meetings[0] = fiber.meetings[1] = 0;
#if defined(MMVOS_EMULATION_TSAN)
  if (fiber.sanitizer) __tsan_destroy_fiber(fiber.sanitizer);
  fiber.sanitizer = __tsan_create_fiber(0);
#endif
  makecontext(&fiber.context, fiber_main, 0);
}

// What a race detector knows a meeting by; null for votes and shuffles, which order no memory. Odd
// and even ones differ: who is already at the next meeting has not yet met the slower ones there.
[[maybe_unused]] void* meeting(Together what, unsigned mask) {
  static uint64_t points[2][33];
  if (what == Together::ballot || what == Together::shuffle) return nullptr;
  const unsigned parity = machine.fibers[machine.current].meetings[mask == 0]++ % 2;
  return &points[parity][mask ? 1 + machine.current / LANES : 0];
}

// ------------------------------------------------------------------ meeting points

// Lets the warp of `index` go on if all lanes of its mask are at the same point.
bool release_warp(unsigned index) {
  const Fiber& caller = machine.fibers[index];
  const unsigned first = index / LANES * LANES;
  unsigned ballot = 0;
  for (unsigned i = 0; i < LANES; ++i) {
    if (!(caller.mask >> i & 1)) continue;
    const Fiber& fiber = machine.fibers[first + i];
    if (fiber.state != Fiber::waiting || fiber.what != caller.what || fiber.mask != caller.mask) {
      return false;
    }
    ballot |= static_cast<unsigned>(fiber.value & 1) << i;
  }
  for (unsigned i = 0; i < LANES; ++i) {
    if (!(caller.mask >> i & 1)) continue;
    Fiber& fiber = machine.fibers[first + i];
    fiber.result = ballot;
    if (fiber.what == Together::shuffle) {
      if (!(caller.mask >> fiber.from_lane & 1)) machine.error = "a shuffle reads an absent lane";
      fiber.result = machine.fibers[first + fiber.from_lane].value;
    }
    fiber.state = Fiber::ready;
    --machine.warp_waiting[index / LANES];
  }
  return true;
}

void release_block() {
  uint64_t any = 0;
  for (unsigned i = 0; i < machine.threads; ++i) {
    const Fiber& fiber = machine.fibers[i];
    if (fiber.state == Fiber::waiting) any |= fiber.value;
  }
  for (unsigned i = 0; i < machine.threads; ++i) {
    Fiber& fiber = machine.fibers[i];
    if (fiber.state != Fiber::waiting) continue;
    fiber.result = any;
    fiber.state = Fiber::ready;
  }
  machine.block_waiting = 0;
}

bool waits_for_block(const Fiber& fiber) {
  return fiber.state == Fiber::waiting &&
         (fiber.what == Together::sync_block || fiber.what == Together::or_block);
}

// Runs a thread up to its next meeting point, and everybody on who waited for this alone.
void advance(unsigned index) {
  Fiber& fiber = machine.fibers[index];
  to_fiber(index);
  if (fiber.state == Fiber::done) {
    --machine.alive;
  } else if (waits_for_block(fiber)) {
    ++machine.block_waiting;
  } else if (++machine.warp_waiting[index / LANES] >= __builtin_popcount(fiber.mask)) {
    release_warp(index);
  }
  if (machine.alive && machine.block_waiting == machine.alive) release_block();
}

std::string describe() {
  int block = 0, warp = 0, done = 0;
  for (unsigned i = 0; i < machine.threads; ++i) {
    const Fiber& fiber = machine.fibers[i];
    if (fiber.state == Fiber::done) ++done;
    else if (waits_for_block(fiber)) ++block;
    else ++warp;
  }
  return "deadlock in block " + std::to_string(blockIdx.x) + ": of " +
         std::to_string(machine.threads) + " threads " + std::to_string(block) +
         " wait for the block, " + std::to_string(warp) + " for their warp, " +
         std::to_string(done) + " are done";
}

void run_block(std::vector<unsigned>& order, long shuffle) {
  machine.alive = machine.threads;
  machine.block_waiting = 0;
  machine.warp_waiting.assign((machine.threads + LANES - 1) / LANES, 0);
  for (unsigned i = 0; i < machine.threads; ++i) start(machine.fibers[i]);
  static uint32_t random = 1;
  while (machine.alive && machine.error.empty()) {
    bool moved = false;
    for (size_t i = order.size(); shuffle > 1 && i > 1; --i) {
      random = random * 1664525u + 1013904223u + static_cast<uint32_t>(shuffle);
      std::swap(order[i - 1], order[(random >> 8) % i]);
    }
    for (unsigned index : order) {
      if (machine.fibers[index].state != Fiber::ready) continue;
      advance(index);
      moved = true;
    }
    if (!moved && machine.error.empty()) machine.error = describe();
  }
}

}  // namespace

// ------------------------------------------------------------------ what kernels call

void* shared_memory() { return machine.shared; }
unsigned lane() { return machine.current % LANES; }

uint64_t meet(Together what, unsigned mask, uint64_t value, int from_lane) {
  Fiber& fiber = machine.fibers[machine.current];
  if (mask && !(mask >> lane() & 1)) machine.error = "a lane is not in its own mask";
  fiber.what = what;
  fiber.mask = mask;
  fiber.value = value;
  fiber.from_lane = from_lane;
  fiber.state = Fiber::waiting;
#if defined(MMVOS_EMULATION_TSAN)
  void* point = meeting(what, mask);
  if (point) __tsan_release(point);
#endif
  to_scheduler(false);
#if defined(MMVOS_EMULATION_TSAN)
  if (point) __tsan_acquire(point);
#endif
  return fiber.result;
}

cudaError_t allow_shared(void* kernel, int bytes) {
  if (bytes > shared_limit()) return cudaErrorInvalidValue;
  machine.allowed[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t run(const cudaLaunchConfig_t& config, void* kernel,
                const std::function<void()>& thread) {
  const auto allowed = machine.allowed.find(kernel);
  const size_t limit = allowed == machine.allowed.end() ? 48 << 10 : allowed->second;
  if (config.dynamicSmemBytes > limit || !config.gridDim.x || !config.blockDim.x) {
    return cudaErrorInvalidValue;
  }
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  machine.threads = blockDim.x;
  if (machine.fibers.size() < machine.threads) machine.fibers.resize(machine.threads);
  machine.thread = &thread;
  machine.error.clear();
  std::vector<unsigned> order(machine.threads);
  for (unsigned i = 0; i < machine.threads; ++i) order[i] = i;
  const long shuffle = setting("MMVOS_EMULATION_ORDER", 0);
  if (shuffle == 1) std::reverse(order.begin(), order.end());
  for (unsigned i = 0; i < gridDim.x && machine.error.empty(); ++i) {
    blockIdx = dim3(i, 0, 0);
    // of its own for each block, so that a sanitizer sees its ends; all bits 1: NaN
    machine.shared = aligned_alloc(16, (config.dynamicSmemBytes + 15) / 16 * 16);
    memset(machine.shared, 0xff, config.dynamicSmemBytes);
    run_block(order, shuffle);
#if defined(MMVOS_EMULATION_TSAN)
    // freeing it would order this block before the next, which runs beside it on a GPU
#else
    free(machine.shared);
#endif
  }
#if defined(MMVOS_EMULATION_TSAN)
  __tsan_acquire(&machine.alive);
#endif
  return machine.error.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

}  // namespace emulation

// ------------------------------------------------------------------ what the host calls

using emulation::machine;

const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorLaunchFailure) return machine.error.c_str();
  return error ? "invalid value" : "no error";
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDevice(int* device) {
  *device = machine.device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  machine.device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = static_cast<int>(emulation::shared_limit());
  return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** place, size_t bytes, cudaStream_t) {
  *place = malloc(bytes);
  memset(*place, 0xff, bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* place, cudaStream_t) {
  free(place);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* place, int value, size_t bytes, cudaStream_t) {
  memset(place, value, bytes);
  return cudaSuccess;
}
