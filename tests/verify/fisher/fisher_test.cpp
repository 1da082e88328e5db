#include "verify/fisher/fisher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <variant>

#include "host/architecture/catalogue.h"
#include "host/architecture/norm_parameters.h"
#include "tests/verify/forward/model_fixture.h"
#include "verify/calibration/default_calibration.h"
#include "verify/directional/consumers.h"
#include "verify/directional/invariance.h"
#include "verify/fisher/fisher_verdict.h"
#include "verify/record/fisher_record.h"

namespace deadray {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

ConsumerFisher measured(std::vector<double> dead, std::vector<double> random = {1e-4, 2e-4, 3e-4}) {
  ConsumerFisher consumer;
  consumer.claim.family = DeadParameters::Family::weight_and_bias;
  consumer.own = {std::move(dead), {}, std::move(random)};
  return consumer;
}
Verdict verdict(const ConsumerFisher& consumer, at::ScalarType dtype = at::kDouble) {
  return judge(consumer, dtype).verdict;
}

TEST(FisherVerdictTest, ConfirmsRoundingAloneAndRefutesMore) {
  EXPECT_EQ(verdict(measured({1e-33, 1e-34})), Verdict::confirmed);
  EXPECT_EQ(verdict(measured({1e-33, 1e-8})), Verdict::refuted)
      << "one direction that is not dead suffices";
  EXPECT_EQ(verdict(measured({1e-18}), at::kFloat), Verdict::confirmed);
  EXPECT_EQ(verdict(measured({1e-23})), Verdict::refuted) << "1e-19 of the controls in float64";
}

TEST(FisherVerdictTest, AMovementOfTheOutputsRefutes) {
  ConsumerFisher consumer = measured({1e-33});
  consumer.movement = Movement{1e-13, 1.0};
  EXPECT_EQ(verdict(consumer), Verdict::confirmed);
  consumer.movement = Movement{1e-6, 1.0};
  EXPECT_EQ(verdict(consumer), Verdict::refuted);
  consumer.movement = Movement{kNaN, 1.0};
  EXPECT_EQ(verdict(consumer), Verdict::refuted);
}

TEST(FisherVerdictTest, WhatTellsNothingIsUndetermined) {
  EXPECT_EQ(verdict(measured({0.0}, {0.0, 0.0, 0.0})), Verdict::undetermined)
      << "controls that are dead too";
  EXPECT_EQ(verdict(measured({1e-33, kNaN, 1e-33})), Verdict::undetermined);
  EXPECT_EQ(verdict(measured({1e-33}, {1e-4, kNaN, 1e-4})), Verdict::undetermined);
}

TEST(FisherVerdictTest, WithoutAClaimThereIsNone) {
  ConsumerFisher consumer = measured({1.0});
  consumer.claim.family = DeadParameters::Family::none;
  EXPECT_EQ(verdict(consumer), Verdict::absent);
}

// Shifts of beta, |a| = 1, and directions of the consumer's own, |dW| = 1, say nothing of each
// other's controls: with those of both in one list F = 1e-28 of the shift would pass for dead
// beside controls of 1e-4, and is 1e-15 of its own.
TEST(FisherVerdictTest, EachGroupIsJudgedByItsOwnControls) {
  ConsumerFisher consumer = measured({1e-33});
  consumer.shift = {{1e-28}, {}, {1e-13, 2e-13, 3e-13}};
  EXPECT_EQ(verdict(consumer), Verdict::refuted);
  EXPECT_EQ(&decisive_group(consumer, at::kDouble), &consumer.shift);
  consumer.shift = {{1e-43}, {}, {1e-13, 2e-13, 3e-13}};
  EXPECT_EQ(verdict(consumer), Verdict::confirmed);
  EXPECT_EQ(&decisive_group(consumer, at::kDouble), &consumer.own) << "the larger ratio is shown";
  consumer.shift = {{kNaN}, {}, {1e-13}};
  EXPECT_EQ(verdict(consumer), Verdict::undetermined);
  consumer.own = {};
  EXPECT_EQ(&decisive_group(consumer, at::kDouble), &consumer.shift);
}

// What is no number is null in the record: passed over, the rest of the list would look like the
// whole of it.
TEST(FisherRecordTest, ShowsNoFigureOfAListThatHoldsANaN) {
  ConsumerFisher consumer = measured({1e-33, kNaN, 1e-34}, {1e-4, kNaN, 2e-4});
  consumer.kfac_dead = {1e-30, kNaN};
  FisherMeasurement measurement;
  measurement.consumers = {consumer};
  const auto row =
      nlohmann::json::parse(fisher_record({}, measurement, {}).dump()).at("consumers").at(0);
  for (const char* key : {"dead", "kfac", "ratio"})
    EXPECT_TRUE(row.at(key).is_null()) << key << ": " << row.dump();
  for (const char* key : {"median", "min", "max"})
    EXPECT_TRUE(row.at("random").at(key).is_null()) << key << ": " << row.dump();
}

TEST(FisherVerdictTest, TheWorstClaimGivesTheExitCode) {
  FisherMeasurement measurement;
  EXPECT_EQ(exit_code_of(measurement), ExitCode::undetermined) << "nothing was there to measure";
  measurement.consumers = {measured({1e-33})};
  EXPECT_EQ(exit_code_of(measurement), ExitCode::done);
  measurement.consumers.push_back(measured({kNaN}));
  EXPECT_EQ(exit_code_of(measurement), ExitCode::undetermined);
  measurement.consumers.push_back(measured({1.0}));
  EXPECT_EQ(exit_code_of(measurement), ExitCode::refuted);
}

/// Finite steps along a dead direction of one consumer of a fixture, as it should be and with a
/// compensation that is off.
void expect_still_only_when_compensated(const std::string& fixture, const std::string& norm) {
  const auto model = prepare_model(test::kModels / fixture, {});
  CalibrationRequest request;
  if (model->architecture.patches) {
    request.batch = 2;
  } else {
    request.random_tokens = 32;
    request.sequence_length = 8;
  }
  const Calibration calibration = make_calibration(model->architecture, model->name, request);
  const NormSite& site = *std::find_if(model->sites.begin(), model->sites.end(),
                                       [&](const NormSite& s) { return s.name == norm; });
  const std::int64_t entry = entry_block(*model, site).value();
  const KeptStreams kept = keep_streams(*model, calibration, at::kDouble, entry);
  const FisherPass pass{*model, calibration, kept.streams, site.name, entry};
  const Invariance invariance(pass);
  const NormParameters parameters = load_norm(*model->checkpoint, site);
  const DeadSubspace subspace = predict(site.kind, parameters.gamma, parameters.beta);
  ParameterDirection direction =
      parameter_directions(site, parameters, subspace, dead_parameters(site, subspace), {1, 1}, 0)
          .front();
  ASSERT_EQ(direction.kind, ParameterDirection::Kind::dead);
  EXPECT_LT(invariance.movement(direction), kStill) << fixture;
  if (auto* own = std::get_if<ConsumerMove>(&direction.move))
    own->s *= 1.01;
  else
    for (Compensation& move : std::get<BetaShift>(direction.move).compensations) {
      move.r = move.r * 1.01;
      move.s *= 1.01;
    }
  EXPECT_GT(invariance.movement(direction), 1e-6) << fixture << ": a hundredth off";
}

TEST(InvarianceTest, HoldsForABiasThatTakesUpTheConstant) {
  expect_still_only_when_compensated("gpt2-untied", "transformer.h.0.ln_2");
}
TEST(InvarianceTest, HoldsForAShiftOfBeta) {
  expect_still_only_when_compensated("gpt2-untied", "transformer.ln_f");
}
TEST(InvarianceTest, HoldsWhereACheckpointHasOtherNames) {
  expect_still_only_when_compensated("vit-new-names", "vit.encoder.layer.0.layernorm_before");
}

}  // namespace
}  // namespace deadray
