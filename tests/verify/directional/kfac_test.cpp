#include "verify/directional/kfac.h"
#include "host/architecture/norm_parameters.h"

#include <gtest/gtest.h>

#include "host/architecture/catalogue.h"
#include "tests/verify/forward/model_fixture.h"
#include "verify/base/tensors.h"
#include "verify/calibration/default_calibration.h"
#include "verify/directional/consumers.h"

namespace deadray {
namespace {

using test::kModels;
using Kind = ParameterDirection::Kind;

/// The last MLP of a GPT-2: what a token's row does there reaches that token's logits alone.
class KfacTest : public testing::Test {
 protected:
  void SetUp() override {
    model_ = prepare_model(kModels / "gpt2-untied", {});
    CalibrationRequest request;
    request.random_tokens = 2048;
    request.sequence_length = 8;
    calibration_ = make_calibration(model_->architecture, model_->name, request);
    kept_ = keep_streams(*model_, calibration_, at::kDouble, model_->architecture.n_blocks - 1);
    for (const NormSite& site : model_->sites)
      if (site.name == "transformer.h.1.ln_2") site_ = &site;
    ASSERT_NE(site_, nullptr);
  }
  FisherPass pass() const {
    return {*model_, calibration_, kept_.streams, site_->name,
            entry_block(*model_, *site_).value()};
  }
  std::vector<ParameterDirection> directions() const {
    const NormParameters norm = load_norm(*model_->checkpoint, *site_);
    const DeadSubspace subspace = predict(site_->kind, norm.gamma, norm.beta);
    return parameter_directions(*site_, norm, subspace, dead_parameters(*site_, subspace), {1, 4},
                                0);
  }

  std::unique_ptr<Model> model_;
  Calibration calibration_;
  KeptStreams kept_;
  const NormSite* site_ = nullptr;
};

// A bias alone, db = u: v = [0; 1] and v^T A v = 1, so F is u^T G u exactly, which K-FAC takes from
// one sampled label for each of 2048 tokens. The mean of their squares spreads by some 2/sqrt(2048)
// = 4 %; four times that is allowed.
TEST_F(KfacTest, SampledGradientsGiveTheFisherInformationOfABias) {
  std::vector<ParameterDirection> biases;
  for (ParameterDirection& direction : directions()) {
    if (direction.kind != Kind::random) continue;
    auto& move = std::get<ConsumerMove>(direction.move);
    move.r.zero_();
    move.s = 1.0;
    biases.push_back(std::move(direction));
  }
  const DirectionalFisher fisher = hidden_fisher(pass(), biases);
  const auto kfac = kfac_estimates(pass(), biases, fisher, /*seed=*/1);
  for (std::size_t k = 0; k < biases.size(); ++k) {
    ASSERT_TRUE(kfac[k].has_value());
    EXPECT_NEAR(*kfac[k] / fisher.values[k], 1.0, 0.16) << k;
  }
}

// [1/gamma; -c] is in the kernel of A; without the -c, or in another direction, it is not.
TEST_F(KfacTest, TheHomogeneousDirectionIsInTheKernelOfTheInputsMoment) {
  const auto all = directions();
  const DirectionalFisher fisher = hidden_fisher(pass(), all);
  for (const ParameterDirection& direction : all) {
    const double residual = kernel_residual(std::get<ConsumerMove>(direction.move), fisher.input);
    // d + 1 = 18 terms of relative rounding 2^-53 each.
    if (direction.kind == Kind::dead)
      EXPECT_LT(residual, 4e-15);
    else
      EXPECT_GT(residual, 1e-4) << to_string(direction.kind);
  }
}

TEST_F(KfacTest, DeadDirectionsAreDeadForKfacToo) {
  const auto all = directions();
  const auto kfac = kfac_estimates(pass(), all, hidden_fisher(pass(), all), 2);
  double dead = 0, random = 0;
  for (std::size_t k = 0; k < all.size(); ++k)
    (all[k].kind == Kind::dead ? dead : random) += kfac[k].value();
  EXPECT_LT(dead, 1e-24 * random);
}

}  // namespace
}  // namespace deadray
