#include "verify/base/forward_mode.h"

#include <ATen/ATen.h>
#include <ATen/functorch/BatchedTensorImpl.h>
#include <ATen/functorch/DynamicLayer.h>
#include <ATen/functorch/TensorWrapper.h>
#include <torch/csrc/autograd/forward_grad.h>

#include <vector>

namespace deadray {

namespace {

namespace functorch = at::functorch;
using torch::autograd::ForwardADLevel;

thread_local ForwardMode* current_mode = nullptr;

at::Tensor unwrapped(const at::Tensor& x) {
  const auto* wrapper = functorch::maybeGetTensorWrapper(x);
  return wrapper != nullptr ? wrapper->value() : x;
}

/// [K, ...], whether or not x depends on the direction.
at::Tensor unbatched(const at::Tensor& x, std::int64_t directions) {
  const auto* batched = functorch::maybeGetBatchedImpl(x);
  if (batched != nullptr) return batched->value().movedim(batched->bdim(), 0);
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.insert(shape.begin(), directions);
  return x.unsqueeze(0).expand(shape);
}

}  // namespace

ForwardMode::ForwardMode(std::int64_t directions)
    : directions_(directions), dual_level_(ForwardADLevel::get_next_idx()) {
  vmap_level_ = functorch::initAndPushDynamicLayer(
      functorch::TransformType::Vmap, c10::SymInt(directions), functorch::RandomnessType::Error);
  jvp_level_ = functorch::initAndPushDynamicLayer(functorch::TransformType::Jvp, std::nullopt,
                                                  std::nullopt, std::nullopt,
                                                  /*prev_fwd_grad_mode=*/true);
  current_mode = this;
}

ForwardMode::~ForwardMode() {
  current_mode = nullptr;
  functorch::popDynamicLayerAndDeleteMetadata();
  functorch::popDynamicLayerAndDeleteMetadata();
  ForwardADLevel::release_idx(dual_level_);
}

ForwardMode* ForwardMode::current() noexcept { return current_mode; }

at::Tensor ForwardMode::lift(const Dual& dual) const {
  const at::Tensor value = functorch::makeTensorWrapper(dual.value, jvp_level_);
  if (!dual.tangents.defined()) return value;
  const at::Tensor tangents = functorch::makeBatched(dual.tangents, 0, vmap_level_);
  return at::_make_dual(value, functorch::makeTensorWrapper(tangents, jvp_level_),
                        static_cast<std::int64_t>(dual_level_));
}

Dual ForwardMode::lower(const at::Tensor& x) const {
  if (!x.defined() || functorch::maybeGetTensorWrapper(x) == nullptr) return {x, {}};
  const auto [value, tangents] = at::_unpack_dual(x, static_cast<std::int64_t>(dual_level_));
  if (!tangents.defined()) return {unwrapped(value), {}};
  return {unwrapped(value), unbatched(unwrapped(tangents), directions_)};
}

ForwardMode::Pause::Pause()
    : front_(c10::DispatchKey::FuncTorchDynamicLayerFrontMode),
      back_(c10::DispatchKey::FuncTorchDynamicLayerBackMode) {}

}  // namespace deadray
