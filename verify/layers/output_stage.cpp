#include "verify/layers/output_stage.h"

#include <ATen/ATen.h>

#include "verify/layers/activation.h"

namespace deadray {

OutputStage::OutputStage(const Architecture& architecture, const Weights& weights,
                         at::ScalarType dtype)
    : architecture_(architecture), has_head_(weights.has_head()) {
  if (architecture.final_norm) final_norm_.emplace(weights, *architecture.final_norm, -1, dtype);
  if (!has_head_) return;
  if (architecture.output_projection)
    projection_ = load_linear(weights, *architecture.output_projection, -1, dtype);
  if (const auto& transform = architecture.head->transform) {
    dense_ = load_linear(weights, transform->dense, -1, dtype);
    head_norm_.emplace(weights, transform->norm, -1, dtype);
  }
}

at::Tensor OutputStage::final_norm(const at::Tensor& x, const NormCall& call) const {
  const at::Tensor read = architecture_.final_norm_reads_class_token ? x.narrow(1, 0, 1) : x;
  return final_norm_ ? call(*final_norm_, read) : read;
}

at::Tensor OutputStage::to_head(const at::Tensor& h, const NormCall& call) const {
  if (!has_head_) return h;
  at::Tensor y = h;
  if (head_norm_) {
    const Activation activation = architecture_.head->transform->activation;
    y = call(*head_norm_, activate(activation, (*dense_)(h)));
  }
  if (architecture_.head->reads_class_token) y = y.narrow(1, 0, 1);
  return projection_ ? (*projection_)(y) : y;
}

std::vector<std::string> OutputStage::norms() const {
  std::vector<std::string> names;
  if (final_norm_) names.push_back(final_norm_->name());
  if (head_norm_) names.push_back(head_norm_->name());
  return names;
}

LinearSpec stored_decoder(const Architecture& architecture) {
  LinearSpec spec = architecture.head->decoder;
  if (architecture.head->tied) spec.weights[0] = architecture.tokens->table;
  return spec;
}

}  // namespace deadray
