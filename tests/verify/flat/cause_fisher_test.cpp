#include "verify/flat/cause_fisher.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "host/census/causes.h"
#include "host/census/norm_states.h"
#include "tests/verify/forward/model_fixture.h"
#include "verify/calibration/default_calibration.h"
#include "verify/flat/curve_pass.h"
#include "verify/flat/moves.h"

// The tiny models of tests/fixtures, trained by nobody: every tensor is generic.
namespace deadray::flat {
namespace {

using test::kModels;

std::vector<std::string> fixtures() {
  std::ifstream file(kModels / "index.json");
  std::vector<std::string> names;
  for (const auto& entry : nlohmann::json::parse(file)) names.push_back(entry.at("name"));
  return names;
}

/// Pictures have the size that the model was made for: DINOv2 resizes positions to others in FP32.
Calibration random_inputs(const Model& model) {
  CalibrationRequest request;
  request.random_tokens = 96;
  return make_calibration(model.architecture, model.name, request);
}

class CauseFisherTest : public testing::TestWithParam<std::string> {};

TEST_P(CauseFisherTest, WhatTheCensusCallsFlatIsFlatAndWhatStandsBesideItIsNot) {
  const auto model = prepare_model(kModels / GetParam(), {});
  const Calibration calibration = random_inputs(*model);
  CauseOptions options;
  options.invariance = true;
  const CauseMeasurement measurement = measure_causes(*model, calibration, options);
  std::int64_t measured = 0;
  for (const CauseFisher& cause : measurement.causes) {
    const std::string what = cause.cause + " " + cause.stack + " " + std::to_string(cause.block);
    if (cause.group.empty()) {
      // Of every block of the model a curve is known. Outside them some norms have none: one that a
      // table absorbs, one that only a pooler or a projection behind the output reads.
      EXPECT_TRUE(cause.dimension == 0 || cause.block < 0 || cause.stack != "model") << what;
      continue;
    }
    const Judgement judgement = judge(cause, measurement.dtype);
    // Queries of sequences of one token see one key: nothing about them is alive.
    if (judgement.verdict == Verdict::undetermined) {
      EXPECT_EQ(cause.cause, "queries_keys") << what << ": " << judgement.reason;
      continue;
    }
    EXPECT_EQ(judgement.verdict, Verdict::confirmed) << what << ": " << judgement.reason;
    EXPECT_GT(cause.movement->random, 1e-6) << what;
    ++measured;
  }
  EXPECT_GE(measured, 5);
}

INSTANTIATE_TEST_SUITE_P(Models, CauseFisherTest, testing::ValuesIn(fixtures()),
                         [](const auto& name) {
                           std::string word = name.param;
                           std::replace(word.begin(), word.end(), '-', '_');
                           return word;
                         });

TEST(CauseFisherTest, CausesAreChosenByName) {
  const auto model = prepare_model(kModels / "gpt2-untied", {});
  const Calibration calibration = random_inputs(*model);
  CauseOptions options;
  options.causes = {"values", "rotation"};
  const CauseMeasurement measurement = measure_causes(*model, calibration, options);
  EXPECT_EQ(measurement.causes.size(), 3U);  // values of two blocks
  for (const CauseFisher& cause : measurement.causes)
    EXPECT_TRUE(cause.cause == "values" || cause.cause == "rotation") << cause.cause;
}

ModelOptions at_random() {
  ModelOptions options;
  options.random = true;
  return options;
}

/// Scales are 1 there, shifts and biases 0.
TEST(CauseFisherTest, TheSameHoldsAtRandomInitialisation) {
  const auto model = prepare_model(kModels / "gpt-neox-parallel", at_random());
  const CauseMeasurement measurement = measure_causes(*model, random_inputs(*model), {});
  EXPECT_EQ(exit_code_of(measurement), ExitCode::done);
}

/// The kernel of a LayerNorm with its bias is a gauge; without it what is left is c u: regular, and
/// small where c is.
TEST(CauseFisherTest, TheKernelOfALayerNormIsAGaugeAndWithoutItsBiasRegular) {
  const auto model = prepare_model(kModels / "gpt2-untied", {});
  const Calibration calibration = random_inputs(*model);
  census::Graph graph = census::graph_of(model->architecture);
  census::set_states(graph, model->stored());
  Move move = *move_of(*model, graph, {"norm_kernel", "model", 0}, 0, 0);
  CurvePass pass(*model, calibration, at::kDouble, one_process());
  pass.keep_streams(0);
  const auto order = [&](const Move& curve) {
    std::vector<Sample> samples;
    for (const double t : order_grid()) samples.push_back({t, pass.fisher_at(curve, t)});
    return order_of(std::move(samples), 1e-24);
  };
  EXPECT_EQ(to_string(order(move)), "gauge");
  std::erase_if(move.changes,
                [](const Change& change) { return change.place.spec.name.ends_with(".bias"); });
  EXPECT_EQ(to_string(order(move)), "regular");
}

TEST(CauseFisherTest, AGaugeStaysOneAlongItsGroupAndLooksSingularAlongTheStraightLine) {
  const auto model = prepare_model(kModels / "gpt2-untied", {});
  const Calibration calibration = random_inputs(*model);
  CauseOptions options;
  options.causes = {"values"};
  options.order = true;
  const CauseMeasurement measurement = measure_causes(*model, calibration, options);
  ASSERT_EQ(measurement.causes.size(), 2U);
  for (const CauseFisher& cause : measurement.causes) {
    ASSERT_TRUE(cause.order && cause.random_order) << cause.block;
    EXPECT_EQ(to_string(*cause.order), "gauge") << cause.block;
    EXPECT_EQ(to_string(*cause.random_order), "regular") << cause.block;
  }
  census::Graph graph = census::graph_of(model->architecture);
  census::set_states(graph, model->stored());
  Move line = *move_of(*model, graph, {"values", "model", 0}, 0, 0);
  for (Change& change : line.changes) {
    const at::Tensor m = load_place(*model->weights, change.place);
    change.shift = velocity(change, 0, m);
    change.left = change.right = {};
  }
  CurvePass pass(*model, calibration, at::kDouble, one_process());
  pass.keep_streams(0);
  std::vector<Sample> samples;
  for (const double t : order_grid()) samples.push_back({t, pass.fisher_at(line, t)});
  EXPECT_EQ(to_string(order_of(std::move(samples), 1e-24)), "singular of order 2");
}

TEST(CauseFisherTest, FiniteStepsAreTakenInFp64WhateverThePassIs) {
  const auto model = prepare_model(kModels / "gpt2-untied", {});
  CauseOptions options;
  options.dtype = at::kFloat;
  options.invariance = true;
  const CauseMeasurement measurement = measure_causes(*model, random_inputs(*model), options);
  EXPECT_EQ(exit_code_of(measurement), ExitCode::done);
}

TEST(CauseFisherTest, AShiftThatAConstantMustFollowMeetsNoPoleOnEitherSide) {
  const auto model = prepare_model(kModels / "falcon-two-norms", {});
  CauseOptions options;
  options.causes = {"norm_shift"};
  options.order = true;
  for (const CauseFisher& cause : measure_causes(*model, random_inputs(*model), options).causes)
    if (cause.order) {
      EXPECT_EQ(to_string(*cause.order), "gauge") << cause.block;
    }
}

}  // namespace
}  // namespace deadray::flat
