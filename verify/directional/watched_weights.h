#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "verify/base/forward_mode.h"
#include "verify/directional/parameter_directions.h"
#include "verify/layers/layer_hook.h"
#include "verify/weights/weights.h"

// The weights of a model seen from a direction in the space of parameters: infinitesimally, or
// moved by a finite step.
namespace deadray {

/// Other weights, as they are: the base class of what changes a part of them.
class WeightsView : public Weights {
 public:
  /// @param base  outlives this
  explicit WeightsView(const Weights& base) : Weights(base), base_(base) {}
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override {
    base_.read(spec, block, out);
  }
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override {
    base_.read_rows(spec, ids, out);
  }
  void will_need(const BlockSpec& block, std::int64_t index) const override {
    base_.will_need(block, index);
  }
  const LinearSpec& as_stored(const LinearSpec& spec, std::int64_t block) const override {
    return base_.as_stored(spec, block);
  }
  std::string stem(const TensorSpec& spec, std::int64_t block) const override {
    return base_.stem(spec, block);
  }
  bool has_head() const override { return base_.has_head(); }

 protected:
  const Weights& base_;
};

/// Weights with a hook for every stem that is watched.
class WatchedWeights : public WeightsView {
 public:
  using WeightsView::WeightsView;
  void watch(std::string stem, std::unique_ptr<LayerHook> hook) {
    hooks_[std::move(stem)] = std::move(hook);
  }
  LayerHook* hook(const std::string& stem) const override {
    const auto place = hooks_.find(stem);
    return place == hooks_.end() ? nullptr : place->second.get();
  }

 private:
  std::map<std::string, std::unique_ptr<LayerHook>> hooks_;
};

/// Hooks that put on the outputs of consumers and norms the tangents that K directions cause, for
/// an Executor that carries K. No dW is formed: the tangents are u <r, h>.
/// @param directions  K; outlive the weights
void watch_directions(WatchedWeights& weights, std::span<const ParameterDirection> directions);

/// Every parameter moved by t along one direction: W + t u r^T, b + t s u, beta + t a. The weights
/// that compensate a shift of beta move by BetaShift::step_of_weights(t) instead of t.
class MovedWeights final : public WeightsView {
 public:
  /// @param consumer_weights  W of a consumer [width, hidden_size] in FP64, asked for where u = W a
  MovedWeights(const Weights& base, const ParameterDirection& direction, double t,
               const std::function<at::Tensor(const std::string&)>& consumer_weights);
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override;
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override;

 private:
  struct OuterProduct {
    at::Tensor u, r;  // of a matrix u r^T, FP64 on the CPU
    bool transposed = false;
  };
  using Change = std::variant<at::Tensor, OuterProduct>;  // of a vector, of a matrix
  const Change* find(const TensorSpec& spec, std::int64_t block) const;
  std::map<std::string, Change> changes_;  // by the tensor's name
};

}  // namespace deadray
