#include "verify/directional/output_gradients.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <functional>
#include <string_view>

#include "host/base/stop_signals.h"
#include "kernels/operations/random_normal.h"
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

// The label of a row depends on the seed and the row's number among those of all ranks: neither
// tiles nor ranks change it.
constexpr std::string_view kLabels = "labels";

/// One entry of the vocabulary for each row, drawn from p.
/// @param p      [n, vocabulary], rows of sum 1   @param first  number of the first row
/// @return [n, 1] int64 on the CPU
at::Tensor draw_labels(const at::Tensor& p, std::uint64_t seed, std::int64_t first) {
  constexpr std::int64_t kRows = 32;  // whose sums are made at once
  constexpr double kWords = 0x1p32;
  const std::int64_t n = p.size(0);
  const at::Tensor words = at::empty({n}, at::kLong), labels = at::empty({n, 1}, at::kLong);
  kernels::random_uniform_int(seed, kernels::stream_of(kLabels), first, n, std::uint64_t{1} << 32,
                              words.data_ptr<std::int64_t>());
  const at::Tensor uniform = (words.to(at::kDouble) + 0.5).div_(kWords).unsqueeze(1);
  for (std::int64_t begin = 0; begin < n; begin += kRows) {
    const std::int64_t count = std::min(kRows, n - begin);
    const at::Tensor sums = p.narrow(0, begin, count).cpu().to(at::kDouble).cumsum(1),
                     places = uniform.narrow(0, begin, count) * sums.narrow(1, p.size(1) - 1, 1);
    labels.narrow(0, begin, count).copy_(at::searchsorted(sums, places).clamp_max_(p.size(1) - 1));
  }
  return labels;
}

/// Unit normals [n, d] in FP32.
at::Tensor draw_normals(at::IntArrayRef shape, std::uint64_t seed, std::int64_t first) {
  const at::Tensor normals = at::empty(shape, at::kFloat);
  kernels::random_normal(seed, kernels::stream_of(kLabels), first * shape[1], normals.numel(), 1.0F,
                         normals.data_ptr<float>());
  return normals;
}

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
        seed_(seed) {}

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
               return log_likelihood(counted_rows(counted_of(first, x.size(0)), h), decoder,
                                     first_label(h.size(1), first));
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

  /// The number of a tile's first row among those of all ranks.
  /// @param rows_of_sequence  1 where a head reads a whole sequence, such as a picture
  std::int64_t first_label(std::int64_t rows_of_sequence, std::int64_t first) const {
    if (rows_of_sequence == 1) return calibration_.rows_before / calibration_.length() + first;
    return calibration_.rows_before + calibration_.rows(first);
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

  /// @param h  [n, d]   @param first  the number of the first row
  at::Tensor log_likelihood(const at::Tensor& h, const Decoder& decoder, std::int64_t first) const {
    if (h.size(0) == 0) return h.sum();  // no label to draw
    if (!decoder.weight.defined())
      return (h * draw_normals(h.sizes(), seed_, first).to(h.options())).sum();
    const at::Tensor bias = decoder.bias.defined() ? decoder.bias.to(h.options()) : at::Tensor();
    const at::Tensor logits =
        soft_cap(at::linear(h, decoder.weight, bias) * decoder.scale, decoder.soft_cap);
    const at::Tensor label =
        draw_labels(at::softmax(logits.detach(), -1), seed_, first).to(logits.device());
    return at::log_softmax(logits, -1).gather(1, label).sum();
  }

  const Architecture& architecture_;
  const Weights& weights_;
  const Calibration& calibration_;
  at::Tensor counted_;
  std::vector<GradientHook*> hooks_;
  std::uint64_t seed_;
};

}  // namespace

std::map<std::string, at::Tensor> output_gradient_sums(
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
  std::map<std::string, at::Tensor> sums;
  for (const auto& [consumer, hook] : hooks) sums[consumer] = hook->sums();
  return sums;
}

}  // namespace deadray
