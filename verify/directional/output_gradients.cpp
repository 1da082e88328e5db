#include "verify/directional/output_gradients.h"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <functional>

#include "host/base/stop_signals.h"
#include "verify/base/tensors.h"
#include "verify/calibration/counted_rows.h"
#include "verify/directional/logit_fisher.h"
#include "verify/directional/watched_weights.h"
#include "verify/forward/token_places.h"
#include "verify/layers/activation.h"
#include "verify/layers/block.h"
#include "verify/layers/output_stage.h"

namespace deadray {

namespace {

/// Adds up (g^T u)^2 of one consumer's output.
class GradientHook final : public LayerHook {
 public:
  explicit GradientHook(at::Tensor u) : u_(std::move(u)), sums_(at::zeros({u_.size(0)}, fp64())) {}

  at::Tensor operator()(const at::Tensor&, const at::Tensor& output, const at::Tensor&) override {
    if (!c10::GradMode::is_enabled()) return output;
    leaves_.push_back(at::zeros_like(output).set_requires_grad(true));
    return output + leaves_.back();
  }
  /// After a backward pass: its gradients, which are then forgotten.
  void collect() {
    for (const at::Tensor& leaf : leaves_) {
      const at::Tensor g = leaf.grad();
      if (!g.defined()) continue;
      sums_ += at::matmul(g.reshape({-1, g.size(-1)}), u_.to(g.options()).t())
                   .to(at::kDouble)
                   .square()
                   .sum(0)
                   .cpu();
    }
    leaves_.clear();
  }
  const at::Tensor& sums() const noexcept { return sums_; }

 private:
  at::Tensor u_, sums_;
  std::vector<at::Tensor> leaves_;
};

class ReversePass {
 public:
  ReversePass(const Model& model, const Calibration& calibration, const Weights& weights,
              std::vector<GradientHook*> hooks, std::uint64_t seed)
      : architecture_(model.architecture),
        weights_(weights),
        calibration_(calibration),
        counted_(calibration.counted()),
        hooks_(std::move(hooks)),
        labels_(at::detail::createCPUGenerator(seed)) {}

  void run(const std::map<std::int64_t, at::Tensor>& streams) {
    const c10::AutoGradMode with_gradients(true);
    const at::ScalarType dtype = streams.begin()->second.scalar_type();
    const TokenPlaces tokens = token_places(architecture_, calibration_);
    at::Tensor gradient = at::zeros_like(shaped(streams.rbegin()->second));
    const OutputStage stage(architecture_, weights_, dtype);
    const Decoder decoder =
        weights_.has_head() ? load_decoder(architecture_, weights_, dtype) : Decoder{};
    const NormCall call = [](const Norm& norm, const at::Tensor& x) { return norm(x); };
    backward(shaped(streams.rbegin()->second), gradient,
             [&](const at::Tensor& x, std::int64_t first) {
               const at::Tensor h = stage.to_head(stage.final_norm(x, call), call);
               return log_likelihood(counted_rows(counted_of(first, x.size(0)), h), decoder);
             });
    for (auto node = std::next(streams.rbegin()); node != streams.rend(); ++node) {
      throw_if_stopped();
      const BlockSpec& spec = architecture_.block(node->first);
      const Block block(weights_, spec, node->first, dtype);
      const AttentionPlaces places(spec.attention, tokens, dtype, weights_.backend().device());
      const at::Tensor of_output = gradient.clone();
      backward(shaped(node->second), gradient, [&](const at::Tensor& x, std::int64_t first) {
        return (block(x, places.tile(first, x.size(0)), call) *
                of_output.narrow(0, first, x.size(0)))
            .sum();
      });
    }
  }

 private:
  at::Tensor shaped(const at::Tensor& stream) const {
    return stream.view({calibration_.sequences(), calibration_.length(), -1});
  }

  at::Tensor counted_of(std::int64_t first, std::int64_t count) const {
    return counted_.defined() ? counted_.narrow(0, first, count) : counted_;
  }

  /// Gradients of the tiles' scalars by the tiles, into `gradient`.
  void backward(const at::Tensor& stream, const at::Tensor& gradient,
                const std::function<at::Tensor(const at::Tensor& x, std::int64_t first)>& scalar) {
    const std::int64_t step = std::max<std::int64_t>(1, kReverseTileTokens / stream.size(1));
    for (std::int64_t first = 0; first < stream.size(0); first += step) {
      const std::int64_t count = std::min(step, stream.size(0) - first);
      const at::Tensor x = stream.narrow(0, first, count).detach().clone().set_requires_grad(true);
      scalar(x, first).backward();
      gradient.narrow(0, first, count).copy_(x.grad());
      for (GradientHook* hook : hooks_) hook->collect();
    }
  }

  /// @param h  [n, d]
  at::Tensor log_likelihood(const at::Tensor& h, const Decoder& decoder) {
    if (h.size(0) == 0) return h.sum();  // no label to draw
    if (!decoder.weight.defined())
      return (h * at::randn(h.sizes(), labels_, at::kDouble).to(h.options())).sum();
    const at::Tensor bias = decoder.bias.defined() ? decoder.bias.to(h.options()) : at::Tensor();
    const at::Tensor logits =
        soft_cap(at::linear(h, decoder.weight, bias) * decoder.scale, decoder.soft_cap);
    const at::Tensor label =
        at::multinomial(at::softmax(logits.detach(), -1).cpu(), 1, false, labels_)
            .to(logits.device());
    return at::log_softmax(logits, -1).gather(1, label).sum();
  }

  const Architecture& architecture_;
  const Weights& weights_;
  const Calibration& calibration_;
  at::Tensor counted_;
  std::vector<GradientHook*> hooks_;
  at::Generator labels_;
};

}  // namespace

std::map<std::string, at::Tensor> output_gradient_moments(
    const Model& model, const Calibration& calibration,
    const std::map<std::int64_t, at::Tensor>& streams, const std::map<std::string, at::Tensor>& u,
    std::uint64_t seed) {
  WatchedWeights weights(*model.weights);
  std::map<std::string, GradientHook*> hooks;
  std::vector<GradientHook*> all;
  for (const auto& [consumer, directions] : u) {
    auto hook = std::make_unique<GradientHook>(directions);
    all.push_back(hooks[consumer] = hook.get());
    weights.watch(consumer, std::move(hook));
  }
  ReversePass(model, calibration, weights, all, seed).run(streams);
  std::map<std::string, at::Tensor> moments;
  for (const auto& [consumer, hook] : hooks)
    moments[consumer] = hook->sums() / static_cast<double>(calibration.rows());
  return moments;
}

}  // namespace deadray
