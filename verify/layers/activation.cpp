#include "verify/layers/activation.h"

#include <ATen/ATen.h>

namespace deadray {

namespace {

/// Bloom's own gelu: the tanh form with sqrt(2 / pi) cut to eight digits.
at::Tensor gelu_bloom(const at::Tensor& x) {
  return x * 0.5 * (1.0 + at::tanh(0.79788456 * x * (1.0 + 0.044715 * x * x)));
}

}  // namespace

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::gelu_erf:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::gelu_bloom:
      return gelu_bloom(x);
    case Activation::quick_gelu:
      return x * at::sigmoid(1.702 * x);
    case Activation::relu:
      return at::relu(x);
    case Activation::silu:
      return at::silu(x);
    case Activation::tanh:
      return at::tanh(x);
  }
  return x;
}

at::Tensor soft_cap(const at::Tensor& x, double cap) {
  return cap == 0.0 ? x : at::tanh(x / cap) * cap;
}

}  // namespace deadray
