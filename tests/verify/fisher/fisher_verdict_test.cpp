#include "verify/fisher/fisher_verdict.h"

#include <gtest/gtest.h>

#include "tests/verify/fisher/measured_consumer.h"

namespace deadray {
namespace {

using test::kNaN;
using test::measured_consumer;

Verdict verdict(const ConsumerFisher& consumer, at::ScalarType dtype = at::kDouble) {
  return judge(consumer, dtype).verdict;
}

TEST(FisherVerdictTest, ConfirmsRoundingAloneAndRefutesMore) {
  EXPECT_EQ(verdict(measured_consumer({1e-33, 1e-34})), Verdict::confirmed);
  EXPECT_EQ(verdict(measured_consumer({1e-33, 1e-8})), Verdict::refuted)
      << "one direction that is not dead suffices";
  EXPECT_EQ(verdict(measured_consumer({1e-18}), at::kFloat), Verdict::confirmed);
  EXPECT_EQ(verdict(measured_consumer({1e-23})), Verdict::refuted)
      << "1e-19 of the controls in float64";
}

TEST(FisherVerdictTest, AMovementOfTheOutputsRefutes) {
  ConsumerFisher consumer = measured_consumer({1e-33});
  consumer.movement = Movement{1e-13, 1.0};
  EXPECT_EQ(verdict(consumer), Verdict::confirmed);
  consumer.movement = Movement{1e-6, 1.0};
  EXPECT_EQ(verdict(consumer), Verdict::refuted);
  consumer.movement = Movement{kNaN, 1.0};
  EXPECT_EQ(verdict(consumer), Verdict::refuted);
}

TEST(FisherVerdictTest, WhatTellsNothingIsUndetermined) {
  EXPECT_EQ(verdict(measured_consumer({0.0}, {0.0, 0.0, 0.0})), Verdict::undetermined)
      << "controls that are dead too";
  EXPECT_EQ(verdict(measured_consumer({1e-33, kNaN, 1e-33})), Verdict::undetermined);
  EXPECT_EQ(verdict(measured_consumer({1e-33}, {1e-4, kNaN, 1e-4})), Verdict::undetermined);
}

TEST(FisherVerdictTest, WithoutAClaimThereIsNone) {
  ConsumerFisher consumer = measured_consumer({1.0});
  consumer.claim.family = DeadParameters::Family::none;
  EXPECT_EQ(verdict(consumer), Verdict::absent);
}

// Shifts of beta, |a| = 1, and directions of the consumer's own, |dW| = 1, say nothing of each
// other's controls: with those of both in one list F = 1e-28 of the shift would pass for dead
// beside controls of 1e-4, and is 1e-15 of its own.
TEST(FisherVerdictTest, EachGroupIsJudgedByItsOwnControls) {
  ConsumerFisher consumer = measured_consumer({1e-33});
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

TEST(FisherVerdictTest, TheWorstClaimGivesTheExitCode) {
  FisherMeasurement measurement;
  EXPECT_EQ(exit_code_of(measurement), ExitCode::undetermined) << "nothing was there to measure";
  measurement.consumers = {measured_consumer({1e-33})};
  EXPECT_EQ(exit_code_of(measurement), ExitCode::done);
  measurement.consumers.push_back(measured_consumer({kNaN}));
  EXPECT_EQ(exit_code_of(measurement), ExitCode::undetermined);
  measurement.consumers.push_back(measured_consumer({1.0}));
  EXPECT_EQ(exit_code_of(measurement), ExitCode::refuted);
}

}  // namespace
}  // namespace deadray
