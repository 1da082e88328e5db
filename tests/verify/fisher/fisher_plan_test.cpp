#include "verify/fisher/fisher_plan.h"

#include <gtest/gtest.h>

#include "tests/support/errors.h"
#include "tests/verify/forward/model_fixture.h"
#include "verify/calibration/default_calibration.h"
#include "verify/fisher/fisher.h"

namespace deadray::test {
namespace {

class FisherPlanTest : public testing::Test {
 protected:
  FisherPlanTest() : model_(prepare_model(kModels / "gpt2-untied", {})) {
    CalibrationRequest request;
    request.batch = 4, request.sequence_length = 8;
    calibration_ = make_calibration(model_->architecture, model_->name, request);
  }
  FisherPlan plan(const std::vector<FisherWork>& work) const {
    return plan_fisher(*model_, calibration_, options_, work);
  }

  std::unique_ptr<Model> model_;
  Calibration calibration_;
  FisherOptions options_;
};

TEST_F(FisherPlanTest, CountsTheStreamsThatAreKept) {
  const std::int64_t blocks = model_->architecture.n_blocks,
                     stream = 32 * model_->architecture.hidden_size;
  EXPECT_EQ(plan({{.entry = 0}}).streams, static_cast<double>((blocks + 1) * stream * 8));
  EXPECT_EQ(plan({{.entry = blocks}}).streams, static_cast<double>(stream * 8));
  options_.dtype = at::kFloat, options_.invariance = true;
  EXPECT_EQ(plan({{.entry = blocks}}).streams, static_cast<double>(stream * (4 + 8)))
      << "finite steps want FP64";
}

TEST_F(FisherPlanTest, DirectionsLaterNormsAndFiniteStepsCostWhatTheyCost) {
  const auto flops = [&](FisherWork work) { return plan({work}).flops; };
  EXPECT_GT(flops({.entry = 0, .hidden = 20}), 1.5 * flops({.entry = 0, .hidden = 10}));
  EXPECT_GT(flops({.entry = 0, .hidden = 10}), flops({.entry = 1, .hidden = 10}));
  EXPECT_GT(flops({.entry = 0, .hidden = 10, .moved = 4}), flops({.entry = 0, .hidden = 10}));
  EXPECT_EQ(plan({{.entry = 0, .head = 3}}).direction, 0) << "the head needs no derivatives";
  EXPECT_EQ(plan({{.entry = 0, .hidden = 3}}).decoder, 0);
}

TEST_F(FisherPlanTest, IsToldOnceAndCountsTheDirectionsThatAreMeasured) {
  options_.site = "all", options_.kfac = false, options_.counts = {1, 1};
  std::vector<FisherPlan> told;
  options_.planned = [&](const FisherPlan& plan) { told.push_back(plan); };
  const FisherMeasurement measurement = measure_fisher(*model_, calibration_, options_);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].directions, static_cast<std::int64_t>(measurement.directions.size()));
  EXPECT_EQ(told[0].gemm_rate, 0) << "too little work to ask";
  EXPECT_TRUE(contains(describe(told[0], *model_), "32 tokens"));
}

TEST_F(FisherPlanTest, RefusesBeforeItStartsWhatDoesNotFit) {
  const auto refusal = [&](const FisherPlan& plan) {
    return message_of(ExitCode::resources, [&] { require_memory(plan, *model_); });
  };
  constexpr double kMoreThanAnyMachineHas = 0x1p80;
  FisherPlan one = plan({{.entry = 0, .hidden = 3, .head = 3}});
  EXPECT_NO_THROW(require_memory(one, *model_));
  FisherPlan other = one;
  other.streams = kMoreThanAnyMachineHas;
  EXPECT_TRUE(contains(refusal(other), "late block"));
  other = one, other.direction = kMoreThanAnyMachineHas;
  EXPECT_TRUE(contains(refusal(other), "and a direction take"));
  other = one, other.decoder = kMoreThanAnyMachineHas;
  EXPECT_TRUE(contains(refusal(other), "and the head's decoder take"));
}

}  // namespace
}  // namespace deadray::test
