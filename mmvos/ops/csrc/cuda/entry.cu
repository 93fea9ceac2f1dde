// The entry points of mmvos_ops.h: arguments to structs, the GPU, errors.
#include "correlation.cuh"
#include "propagation.cuh"
#include "topk.cuh"

namespace mmvos {
namespace {

thread_local std::string error_text;

// Makes the GPU of the context the current one, for as long as it lives.
class Device {
 public:
  explicit Device(const MMVOSContext* context) : index_(context->device) {
    if (check(cudaGetDevice(&before_), "cudaGetDevice")) return;
    ready_ = before_ == index_ || !check(cudaSetDevice(index_), "cudaSetDevice");
  }
  ~Device() {
    if (ready_ && before_ != index_) cudaSetDevice(before_);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  bool ready() const { return ready_; }
  size_t shared_limit() const { return mmvos::shared_limit(index_); }

 private:
  int index_, before_ = 0;
  bool ready_ = false;
};

int size_of(const MMVOSTensor* tensor, int axis) { return static_cast<int>(tensor->size[axis]); }

float* floats(MMVOSTensor* tensor) { return static_cast<float*>(tensor->data); }

// Types and sizes that the kernels take; shapes are the caller's affair.
int refuse(const MMVOSTensor* query, const MMVOSTensor* key, int64_t candidates) {
  if (query->type != key->type) return fail("query and keys have different types");
  for (const MMVOSTensor* tensor : {query, key}) {
    for (int i = 0; i < tensor->ndim; ++i) {
      if (tensor->size[i] >= 1 << 28) return fail("an axis is longer than 2^28");
    }
  }
  if (candidates >= INT_MAX) return fail("a query has 2^31 candidates or more");
  return 0;
}

int64_t candidates_of(int64_t radius, int64_t refs) {
  if (radius >= 1 << 15) return INT_MAX;
  return (2 * radius + 1) * (2 * radius + 1) * refs;
}

template <typename In>
Correlation<In> correlation(const MMVOSTensor* query, const MMVOSTensor* key,
                            const MMVOSTensor* coords, int radius, int dilation) {
  Correlation<In> p = {};
  p.query = view<const In>(query, "bcyx");
  p.key = view<const In>(key, "bcyx");
  p.coords = view<const float>(coords, "bcyx");
  p.batch = size_of(query, 0);
  p.channels = size_of(query, 1);
  p.h = size_of(query, 2);
  p.w = size_of(query, 3);
  p.h2 = size_of(key, 2);
  p.w2 = size_of(key, 3);
  p.radius = radius;
  p.dilation = dilation;
  return p;
}

// What forward and backward of local_propagation have in common.
template <typename P>
P propagation(const MMVOSTensor* query, const MMVOSTensor* keys, const MMVOSTensor* values,
              int radius, double scale) {
  using In = typename P::Feature;
  P p = {};
  p.query = view<const In>(query, "bcyx");
  p.keys = view<const In>(keys, "bctyx");
  p.values = view<const float>(values, "bctyx");
  p.batch = size_of(query, 0);
  p.channels = size_of(query, 1);
  p.h = size_of(query, 2);
  p.w = size_of(query, 3);
  p.refs = size_of(keys, 2);
  p.classes = size_of(values, 1);
  p.radius = radius;
  p.scale = static_cast<float>(scale);
  return p;
}

}  // namespace

int fail(const std::string& text) {
  error_text = text;
  return 1;
}

int check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return 0;
  cudaGetLastError();  // or the next call of anybody would report it again
  return fail(std::string(what) + ": " + cudaGetErrorString(error));
}

}  // namespace mmvos

using namespace mmvos;

MMVOS_API int mmvos_abi() { return MMVOS_ABI; }
MMVOS_API const char* mmvos_error() { return error_text.c_str(); }

MMVOS_API int mmvos_local_correlation(const MMVOSTensor* query, const MMVOSTensor* key,
                                      const MMVOSTensor* coords, MMVOSTensor* out, int32_t radius,
                                      int32_t dilation, const MMVOSContext* context) {
  const int64_t reach = static_cast<int64_t>(radius) * dilation;
  if (refuse(query, key, reach < 1 << 28 ? candidates_of(radius, 1) : INT_MAX)) return 1;
  const Device device(context);
  if (!device.ready()) return 1;
  return with_type(query->type, [&](auto in) {
    auto p = correlation<decltype(in)>(query, key, coords, radius, dilation);
    p.out = floats(out);
    return correlate(p, device.shared_limit(), static_cast<cudaStream_t>(context->stream));
  });
}

MMVOS_API int mmvos_local_correlation_backward(
    const MMVOSTensor* grad, const MMVOSTensor* query, const MMVOSTensor* key,
    const MMVOSTensor* coords, MMVOSTensor* grad_query, MMVOSTensor* grad_key, int32_t radius,
    int32_t dilation, const MMVOSContext* context) {
  const int64_t reach = static_cast<int64_t>(radius) * dilation;
  if (refuse(query, key, reach < 1 << 28 ? candidates_of(radius, 1) : INT_MAX)) return 1;
  const Device device(context);
  if (!device.ready()) return 1;
  return with_type(query->type, [&](auto in) {
    auto p = correlation<decltype(in)>(query, key, coords, radius, dilation);
    p.grad = view<const float>(grad, "bcyx");
    p.grad_query = floats(grad_query);
    p.grad_key = floats(grad_key);
    return correlate_backward(p, static_cast<cudaStream_t>(context->stream));
  });
}

MMVOS_API int mmvos_local_propagation(
    const MMVOSTensor* query, const MMVOSTensor* keys, const MMVOSTensor* values,
    const MMVOSTensor* offset, MMVOSTensor* out, MMVOSTensor* lse, int32_t radius, int32_t topk,
    double scale, int32_t mask, const MMVOSContext* context) {
  const int64_t candidates = candidates_of(radius, keys->size[2]);
  if (refuse(query, keys, candidates)) return 1;
  const Device device(context);
  if (!device.ready()) return 1;
  const auto stream = static_cast<cudaStream_t>(context->stream);
  return with_type(query->type, [&](auto in) {
    auto p = propagation<Propagation<decltype(in)>>(query, keys, values, radius, scale);
    p.offset = view<const float>(offset, "btcyx");
    p.out = floats(out);
    p.lse = floats(lse);
    p.topk = topk < candidates ? topk : 0;
    p.capacity = buffer_capacity(p.topk);
    p.mask = mask;
    bool done = false;
    if (!offset && propagate_tiles(p, device.shared_limit(), stream, &done)) return 1;
    return done ? 0 : propagate_queries(p, device.shared_limit(), stream);
  });
}

MMVOS_API int mmvos_local_propagation_backward(
    const MMVOSTensor* grad, const MMVOSTensor* query, const MMVOSTensor* keys,
    const MMVOSTensor* values, const MMVOSTensor* out, const MMVOSTensor* lse,
    MMVOSTensor* grad_query, MMVOSTensor* grad_keys, MMVOSTensor* grad_values, int32_t radius,
    double scale, const MMVOSContext* context) {
  if (refuse(query, keys, candidates_of(radius, keys->size[2]))) return 1;
  const Device device(context);
  if (!device.ready()) return 1;
  return with_type(query->type, [&](auto in) {
    auto g = propagation<Gradients<decltype(in)>>(query, keys, values, radius, scale);
    g.grad = view<const float>(grad, "bcyx");
    g.out = view<const float>(out, "bcyx");
    g.lse = view<const float>(lse, "byx");
    g.grad_query = floats(grad_query);
    g.grad_keys = floats(grad_keys);
    g.grad_values = floats(grad_values);
    return propagate_backward(g, device.shared_limit(), static_cast<cudaStream_t>(context->stream));
  });
}
