// Threads and scratch memory. Kernels see only this: they are compiled once per instruction set,
// and a template of the standard library in there could be linked into the code for every machine.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "../mmvos_ops.h"

namespace mmvos {

class Threads {
 public:
  explicit Threads(int count) : count_(count < 1 ? 1 : count) {}
  ~Threads();
  Threads(const Threads&) = delete;

  // Aligned to 64 bytes, freed with this object; throws std::bad_alloc.
  void* allocate(size_t bytes);
  template <class T>
  T* allocate_array(int64_t count) {
    if (count < 0 || count > (int64_t(1) << 48)) count = int64_t(1) << 48;  // not to be had
    return static_cast<T*>(allocate(static_cast<size_t>(count) * sizeof(T)));
  }

  // Calls task(args, unit, scratch) for every unit, with scratch_bytes of memory per thread, 64-byte
  // aligned and not cleared. Units share nothing they write, so their order does not matter.
  typedef void (*Task)(void* args, int64_t unit, char* scratch);
  void run(int64_t units, size_t scratch_bytes, Task task, void* args);

 private:
  int count_;
  void* blocks_[64];
  int num_blocks_ = 0;
};

[[noreturn]] void fail(const char* why);  // ends the call with this text as its error

// The kernels of one instruction set; see kernels.h.
struct Kernels {
  void (*correlation)(const MMVOSTensor&, const MMVOSTensor&, const MMVOSTensor*, MMVOSTensor&,
                      int, int, Threads&);
  void (*correlation_backward)(const MMVOSTensor&, const MMVOSTensor&, const MMVOSTensor&,
                               const MMVOSTensor*, MMVOSTensor&, MMVOSTensor&, int, int, Threads&);
  void (*propagation)(const MMVOSTensor&, const MMVOSTensor&, const MMVOSTensor&,
                      const MMVOSTensor*, MMVOSTensor&, MMVOSTensor&, int, int, double, bool,
                      Threads&);
  void (*propagation_backward)(const MMVOSTensor&, const MMVOSTensor&, const MMVOSTensor&,
                               const MMVOSTensor&, const MMVOSTensor&, const MMVOSTensor&,
                               MMVOSTensor&, MMVOSTensor&, MMVOSTensor&, int, double,
                               Threads&);
  void (*warp)(const MMVOSTensor&, const MMVOSTensor&, MMVOSTensor&, Threads&);
};

}  // namespace mmvos
