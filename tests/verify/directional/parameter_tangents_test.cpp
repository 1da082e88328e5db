#include "verify/layers/parameter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "host/architecture/norm_parameters.h"
#include "kernels/operations/random_normal.h"
#include "tests/verify/forward/model_fixture.h"
#include "verify/directional/consumers.h"
#include "verify/directional/directional_fisher.h"
#include "verify/directional/logit_fisher.h"
#include "verify/directional/watched_weights.h"
#include "verify/layers/activation.h"
#include "verify/layers/output_stage.h"

// Directions that move any tensor of a model, in every family that has a fixture.
namespace deadray {
namespace {

using test::kModels;

/// The same tensor of every block and expert: its name without their numbers.
std::string tensor_kind(const TensorSpec& spec) {
  std::string kind = spec.name;
  std::erase_if(kind, [](unsigned char c) { return std::isdigit(c) != 0; });
  return kind;
}

/// Whether it belongs to a vision tower, whose derivatives are not followed.
bool is_of_tower(const std::string& kind) {
  return kind.find("vision_tower") != std::string::npos ||
         kind.find("embed_vision") != std::string::npos;
}

/// Remembers the kinds of tensors that a run reads.
class KindsRead final : public WeightsView {
 public:
  using WeightsView::WeightsView;
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override {
    kinds.insert(tensor_kind(spec));
    base_.read(spec, block, out);
  }
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override {
    kinds.insert(tensor_kind(spec));
    base_.read_rows(spec, ids, out);
  }
  mutable std::set<std::string> kinds;
};

/// A random dense direction D: of one kind of tensors, or of all.
class DenseDirection final : public WeightsView {
 public:
  DenseDirection(const Weights& base, std::string kind)
      : WeightsView(base), kind_(std::move(kind)) {}
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override {
    out.copy_(of(spec, block));
  }
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override {
    out.copy_(of(spec, -1).index_select(0, ids));
  }
  bool moves(const TensorSpec& spec, std::int64_t) const override {
    const std::string kind = tensor_kind(spec);
    return kind_.empty() ? !is_of_tower(kind) : kind == kind_;
  }
  /// D of a tensor: a tenth of unit normals, so that it is about as large as the weights are.
  at::Tensor of(const TensorSpec& spec, std::int64_t block) const {
    const std::uint64_t seed = kernels::stream_of(name(spec.name, block));
    return 0.1 * at::randn(spec.shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
  }

 private:
  std::string kind_;  // empty: all
};

/// W + t D.
class Stepped final : public WeightsView {
 public:
  Stepped(const Weights& base, const DenseDirection& direction, double t)
      : WeightsView(base), direction_(direction), t_(t) {}
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override {
    base_.read(spec, block, out);
    if (direction_.moves(spec, block)) out.add_(direction_.of(spec, block), t_);
  }
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override {
    base_.read_rows(spec, ids, out);
    if (direction_.moves(spec, -1)) out.add_(direction_.of(spec, -1).index_select(0, ids), t_);
  }

 private:
  const DenseDirection& direction_;
  double t_;
};

/// A model's weights with what they move along.
class Moving final : public WeightsView {
 public:
  Moving(const Weights& base, std::vector<const Weights*> tangents)
      : WeightsView(base), tangents_(std::move(tangents)) {}
  std::span<const Weights* const> tangents() const override { return tangents_; }

 private:
  std::vector<const Weights*> tangents_;
};

class ParameterTangentsTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = prepare_model(kModels / GetParam(), {});
    calibration_ = test::calibration_of(
        *model_, Checkpoint::open(kModels / GetParam() / "reference64.safetensors"));
  }

  /// What the decoder reads, with K derivatives.
  Dual head_input(const Weights& weights, std::int64_t directions, const Start& start = {},
                  at::ScalarType dtype = at::kDouble) const {
    OutputKeeper keeper;
    ExecutorOptions options;
    options.dtype = dtype;
    options.directions = directions;
    Executor(model_->architecture, weights, options).run(calibration_, keeper, start);
    return keeper.output();
  }
  /// The model's output by the decoder of these weights: logits, or h itself.
  at::Tensor output(const Weights& weights, const at::Tensor& h) const {
    if (!weights.has_head()) return h;
    const Decoder decoder = load_decoder(model_->architecture, weights, at::kDouble);
    return soft_cap(at::linear(h, decoder.weight, decoder.bias) * decoder.scale, decoder.soft_cap);
  }
  at::Tensor fisher(const Weights& weights, const Dual& h, std::size_t directions) const {
    return output_fisher(model_->architecture, weights, h, static_cast<std::int64_t>(directions));
  }
  /// Every kind of tensor that the model's output depends on, and "", which stands for all of them.
  std::vector<std::string> kinds() const {
    const KindsRead weights(*model_->weights);
    output(weights, head_input(weights, 0).value);
    std::vector<std::string> kinds{""};
    for (const std::string& kind : weights.kinds)
      if (!is_of_tower(kind)) kinds.push_back(kind);
    return kinds;
  }

  std::unique_ptr<Model> model_;
  Calibration calibration_;
};

double largest(const at::Tensor& x) { return x.abs().max().item<double>(); }

/// One direction for each kind, and all of them as the weights' tangents.
struct DirectionOfEachKind {
  DirectionOfEachKind(const Weights& weights, const std::vector<std::string>& kinds) {
    std::vector<const Weights*> sources;
    for (const std::string& kind : kinds) {
      directions.push_back(std::make_unique<DenseDirection>(weights, kind));
      sources.push_back(directions.back().get());
    }
    moving.emplace(weights, sources);
  }
  std::vector<std::unique_ptr<DenseDirection>> directions;
  std::optional<Moving> moving;
};

/// Whether positions are resized in FP32, whatever the model runs in.
bool resizes_in_fp32(const Architecture& architecture, const Calibration& calibration) {
  const auto& patches = architecture.patches;
  return patches && patches->positions && patches->resize != PatchInput::Resize::bicubic &&
         (calibration.pixels.size(-2) / patches->patch != patches->rows() ||
          calibration.pixels.size(-1) / patches->patch != patches->columns());
}

// A central difference with t = 1e-6 errs by t^2 J''', some 1e-12 times what the model's curvature
// makes of it, and by the rounding of the two outputs, some hundred times 2^-53 / t = 1e-10 of
// them. So 1e-6 of J leaves room for the first and 1e-7 of the outputs for the second; F is
// quadratic in J. What the softmax of the attention hides, a bias of keys, has J = 0. Positions
// that are resized in FP32 bring a rounding of 2^-24 / t of their size into the difference: with t
// = 1e-4 it is some 1e-3 of J, and t^2 J''' less, though LayerNorms of a small stream curve much.
TEST_P(ParameterTangentsTest, AreTheLimitsOfFiniteStepsOfEveryKindOfTensor) {
  const Architecture& architecture = model_->architecture;
  const bool coarse = resizes_in_fp32(architecture, calibration_);
  const std::vector<std::string> all = kinds();
  const DirectionOfEachKind each(*model_->weights, all);
  const Dual h = head_input(*each.moving, static_cast<std::int64_t>(all.size()));
  ASSERT_TRUE(h.tangents.defined());
  const at::Tensor got_fisher = fisher(*each.moving, h, all.size());
  const at::Tensor out = output(*model_->weights, h.value), p = at::softmax(out, -1);
  for (std::size_t k = 0; k < all.size(); ++k) {
    const bool rounds =
        coarse && (all[k].empty() || all[k] == tensor_kind(*architecture.patches->positions));
    const double step = rounds ? 1e-4 : 1e-6, tolerance = rounds ? 3e-3 : 1e-6;
    const Stepped ahead(*model_->weights, *each.directions[k], step),
        back(*model_->weights, *each.directions[k], -step);
    const at::Tensor ahead_h = head_input(ahead, 0).value, back_h = head_input(back, 0).value;
    const at::Tensor of_h = (ahead_h - back_h) / (2 * step),
                     j = (output(ahead, ahead_h) - output(back, back_h)) / (2 * step);
    const std::string what = all[k].empty() ? "all tensors" : all[k];
    EXPECT_LT(largest(h.tangents[static_cast<std::int64_t>(k)] - of_h),
              tolerance * largest(of_h) + 1e-7 * largest(h.value))
        << what;
    const bool has_head = model_->weights->has_head();
    const at::Tensor squares = has_head ? (j.square() * p).sum(-1) : j.square().sum(-1);
    const double want = has_head ? (squares - (j * p).sum(-1).square()).mean().item<double>()
                                 : squares.mean().item<double>();
    EXPECT_NEAR(got_fisher[static_cast<std::int64_t>(k)].item<double>(), want,
                2 * tolerance * squares.mean().item<double>() + 1e-12 * largest(out) * largest(out))
        << what;
  }
}

// One direction's derivatives do not depend on the others, nor the values on any: only the order of
// the products' sums may differ, some hundred roundings of 2^-53.
TEST_P(ParameterTangentsTest, DoNotSeeEachOther) {
  const std::vector<std::string> all = kinds();
  const DirectionOfEachKind each(*model_->weights, all);
  const Dual together = head_input(*each.moving, static_cast<std::int64_t>(all.size()));
  const Moving alone(*model_->weights, {each.directions.front().get()});
  const Dual one = head_input(alone, 1);
  EXPECT_LT(test::relative_error(one.tangents[0], together.tangents[0]), 1e-12);
  EXPECT_LT(test::relative_error(together.value, head_input(*model_->weights, 0).value), 1e-13);
}

/// dW = u r^T, db = s u of one consumer, as tensors.
class DenseMove final : public WeightsView {
 public:
  DenseMove(const Model& model, const ConsumerMove& move)
      : WeightsView(*model.weights), move_(move) {
    if (is_decoder(model, move.consumer)) decoder_ = stored_decoder(model.architecture);
  }
  void read(const TensorSpec& spec, std::int64_t, at::Tensor out) const override {
    if (spec.shape.size() == 1)
      out.copy_(move_.u * move_.s);
    else
      out.copy_(matrix().view(out.sizes()));
  }
  void read_rows(const TensorSpec&, const at::Tensor& ids, at::Tensor out) const override {
    out.copy_(matrix().index_select(0, ids));
  }
  bool moves(const TensorSpec& spec, std::int64_t block) const override {
    if (decoder_.weights.empty()) return stem(spec, block) == move_.consumer;
    const auto is = [&](const TensorSpec& part) { return part.name == spec.name; };
    return std::any_of(decoder_.weights.begin(), decoder_.weights.end(), is) ||
           std::any_of(decoder_.biases.begin(), decoder_.biases.end(), is);
  }

 private:
  at::Tensor matrix() const {
    return move_.transposed ? at::outer(move_.r, move_.u) : at::outer(move_.u, move_.r);
  }
  const ConsumerMove& move_;
  LinearSpec decoder_;  // where it moves that, else empty: a tied one has the name of the table
};

// The same derivative, once with dW and once without. u <r, h> and (u r^T) h round otherwise, some
// d 2^-53; what is dead is rounding in both, far below 1e-20 of the controls.
TEST_P(ParameterTangentsTest, OfOneConsumerGiveWhatItsOutputsTangentsGive) {
  const KeptStreams kept = keep_streams(*model_, calibration_, at::kDouble, 0);
  std::size_t compared = 0;
  for (const NormSite& site : model_->sites) {
    const auto entry = entry_block(*model_, site);
    if (!entry) continue;
    const NormParameters norm = load_norm(*model_->checkpoint, site);
    const DeadSubspace subspace = predict(site.kind, norm.gamma, norm.beta);
    const FisherPass pass{*model_, calibration_, kept.streams, site.name, *entry};
    for (const bool of_head : {false, true}) {
      std::vector<ParameterDirection> directions;
      for (ParameterDirection& direction :
           parameter_directions(site, norm, subspace, dead_parameters(site, subspace), {1, 2}, 0))
        if (!direction.of_shift() && reaches_output(*model_, direction.consumer) &&
            is_decoder(*model_, direction.consumer) == of_head)
          directions.push_back(std::move(direction));
      if (directions.empty()) continue;
      const auto want =
          (of_head ? head_fisher(pass, directions) : hidden_fisher(pass, directions)).values;
      std::vector<std::unique_ptr<DenseMove>> moves;
      std::vector<const Weights*> sources;
      for (const ParameterDirection& direction : directions) {
        moves.push_back(
            std::make_unique<DenseMove>(*model_, std::get<ConsumerMove>(direction.move)));
        sources.push_back(moves.back().get());
      }
      const Moving weights(*model_->weights, sources);
      const auto count = static_cast<std::int64_t>(directions.size());
      const at::Tensor got =
          fisher(weights, head_input(weights, count, pass.start()), directions.size());
      const double control = *std::max_element(want.begin(), want.end());
      for (std::size_t k = 0; k < want.size(); ++k, ++compared)
        EXPECT_NEAR(got[static_cast<std::int64_t>(k)].item<double>(), want[k],
                    1e-12 * want[k] + 1e-20 * control)
            << directions[k].consumer << " " << to_string(directions[k].kind);
    }
  }
  if (compared == 0) GTEST_SKIP() << "every direction shifts a beta";
}

std::vector<std::string> models() {
  std::ifstream file(kModels / "index.json");
  std::vector<std::string> names;
  for (const auto& entry : nlohmann::json::parse(file)) names.push_back(entry.at("name"));
  return names;
}
std::string model_name(const testing::TestParamInfo<std::string>& instance) {
  std::string name = instance.param;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(Fixtures, ParameterTangentsTest, testing::ValuesIn(models()), model_name);

}  // namespace
}  // namespace deadray
