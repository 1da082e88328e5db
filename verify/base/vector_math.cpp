#include "verify/base/vector_math.h"

#include <ATen/ATen.h>

#include <mutex>

namespace deadray {

void settle_vector_math() {
  static std::once_flag once;
  std::call_once(once, [] {
    const c10::InferenceMode no_derivatives;
    for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
      const at::Tensor x = at::full({2}, 0.5, type);
      for (const auto f : {at::exp, at::expm1, at::erf, at::erfc, at::tanh, at::log, at::log1p,
                           at::log2, at::log10, at::sin, at::cos, at::tan, at::sqrt, at::rsqrt})
        f(x);
    }
  });
}

}  // namespace deadray
