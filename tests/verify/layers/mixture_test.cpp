#include "verify/layers/mixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/verify/forward/model_fixture.h"

namespace deadray {
namespace {

/// Remembers which tensors were asked for.
class Watched final : public Weights {
 public:
  explicit Watched(const Weights& weights) : Weights("", weights.backend()), weights_(weights) {}
  void read(const TensorSpec& spec, std::int64_t block, at::Tensor out) const override {
    names_.insert(spec.name);
    weights_.read(spec, block, out);
  }
  void read_rows(const TensorSpec& spec, const at::Tensor& ids, at::Tensor out) const override {
    weights_.read_rows(spec, ids, out);
  }
  bool has_head() const override { return weights_.has_head(); }
  std::size_t read_so_far() const { return names_.size(); }

 private:
  const Weights& weights_;
  mutable std::set<std::string> names_;
};

/// A mixture of 16 experts, one for a token.
struct Sparse {
  std::unique_ptr<Model> model = prepare_model(test::kModels / "qwen3-moe-sparse-step", {});
  const MlpSpec& spec = model->architecture.block(1).mlp;
  Watched weights{*model->weights};
  Mixture mixture{weights, spec, 1, at::kDouble};
  at::Tensor rows =
      at::randn({1, 40, 16}, at::make_generator<at::CPUGeneratorImpl>(5), at::kDouble);
};

TEST(MixtureTest, ReadsOnlyTheExpertsThatATokenChose) {
  const c10::InferenceMode no_derivatives;
  Sparse sparse;
  EXPECT_EQ(sparse.weights.read_so_far(), 1u) << "the router alone";
  sparse.mixture(sparse.rows.narrow(1, 0, 1));
  EXPECT_EQ(sparse.weights.read_so_far(), 1u + 3);
  sparse.mixture(sparse.rows.narrow(1, 0, 1));
  EXPECT_EQ(sparse.weights.read_so_far(), 1u + 3) << "and keeps it";
}

// The definition, token by token and expert by expert. One product for many rows sums in another
// order: some d u.
TEST(MixtureTest, EqualsTheSumOverChosenExperts) {
  const c10::InferenceMode no_derivatives;
  for (const char* name : {"qwen3-moe", "qwen3-moe-fused", "mixtral"}) {
    const auto model = prepare_model(test::kModels / name, {});
    const MlpSpec& spec = model->architecture.block(1).mlp;
    const Routing& routing = *spec.routing;
    const std::int64_t d = model->architecture.hidden_size;
    const at::Tensor rows =
        at::randn({2, 9, d}, at::make_generator<at::CPUGeneratorImpl>(6), at::kDouble);
    const at::Tensor got = Mixture(*model->weights, spec, 1, at::kDouble)(rows).view({-1, d});
    const at::Tensor router = model->weights->load(routing.router.weights[0], 1, at::kDouble);
    for (std::int64_t token = 0; token < 18; ++token) {
      const at::Tensor h = rows.view({-1, d})[token],
                       probability = at::softmax(at::matmul(router, h), 0);
      const auto [weight, chosen] = probability.topk(routing.per_token);
      at::Tensor want = at::zeros({d}, at::kDouble);
      for (std::int64_t i = 0; i < routing.per_token; ++i) {
        MlpSpec one = spec;
        one.in = expert(spec.in, chosen[i].item<std::int64_t>());
        one.out = expert(spec.out, chosen[i].item<std::int64_t>());
        const double share =
            (weight[i] / (routing.normalises ? weight.sum() : at::ones({}, at::kDouble)))
                .item<double>();
        want += share * DenseMlp(*model->weights, one, 1, at::kDouble)(h);
      }
      EXPECT_LT(test::relative_error(got[token], want), 1e-13) << name << " token " << token;
    }
  }
}

}  // namespace
}  // namespace deadray
