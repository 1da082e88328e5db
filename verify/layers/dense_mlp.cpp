#include "verify/layers/dense_mlp.h"

#include <ATen/ATen.h>

#include "verify/layers/activation.h"

namespace deadray {

DenseMlp::DenseMlp(const Weights& weights, const MlpSpec& spec, std::int64_t block,
                   at::ScalarType dtype)
    : activation_(spec.activation),
      gated_(spec.gated),
      in_(load_linear(weights, spec.in, block, dtype)),
      out_(load_linear(weights, spec.out, block, dtype)) {}

at::Tensor DenseMlp::operator()(const at::Tensor& h) const {
  const at::Tensor wide = in_(h);
  if (!gated_) return out_(activate(activation_, wide));
  const std::int64_t width = wide.size(-1) / 2;
  const at::Tensor gate = activate(activation_, wide.narrow(-1, 0, width)),
                   up = wide.narrow(-1, width, width);
  // A derivative may need the gate as it was.
  return out_(c10::InferenceMode::is_enabled() ? gate.mul_(up) : gate * up);
}

}  // namespace deadray
