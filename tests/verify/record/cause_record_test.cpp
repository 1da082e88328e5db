#include "verify/record/cause_record.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace deadray {
namespace {

using flat::CauseFisher;
using flat::CauseMeasurement;

CauseMeasurement measured() {
  CauseFisher values;
  values.cause = "values";
  values.stack = "model";
  values.block = 3;
  values.dimension = 64;
  values.group.dead = {1e-33, 2e-33};
  values.group.random = {1e-3, 2e-3, 3e-3};
  values.movement = {1e-13, 0.5};
  values.order = flat::order_of({{-0.1, 0.0}, {0.1, 0.0}}, 1e-20);
  CauseFisher rotation;
  rotation.cause = "rotation";
  rotation.stack = "model";
  rotation.dimension = 21;
  rotation.why = "no curve is known";
  CauseFisher router;
  router.cause = "router";
  router.stack = "model";
  router.block = 3;
  router.why = "the MLP is no mixture";
  CauseMeasurement measurement;
  measurement.causes = {values, rotation, router};
  return measurement;
}

nlohmann::json row(const CauseMeasurement& measurement, int index) {
  return nlohmann::json::parse(cause_record({}, measurement, {}).dump()).at("causes").at(index);
}

TEST(CauseRecordTest, ACauseHasItsFiguresAndItsVerdict) {
  const nlohmann::json values = row(measured(), 0);
  EXPECT_EQ(values.at("block"), 3);
  EXPECT_EQ(values.at("dead"), 2e-33);
  EXPECT_EQ(values.at("random").at("median"), 2e-3);
  EXPECT_EQ(values.at("ratio"), 1e-30);
  EXPECT_EQ(values.at("invariance"), 1e-13);
  EXPECT_EQ(values.at("order").at("kind"), "gauge");
  EXPECT_TRUE(values.at("order_random").is_null());
  EXPECT_EQ(values.at("verdict"), "confirmed");
}

TEST(CauseRecordTest, WhatWasNotMeasuredHasNoFigures) {
  const nlohmann::json rotation = row(measured(), 1);
  EXPECT_TRUE(rotation.at("block").is_null());
  for (const char* key : {"dead", "random", "ratio", "invariance", "order", "verdict"})
    EXPECT_TRUE(rotation.at(key).is_null()) << key;
  EXPECT_EQ(rotation.at("reason"), "no curve is known");
}

TEST(CauseRecordTest, TheTotalIsThatOfTheCensus) {
  const auto record = nlohmann::json::parse(cause_record({}, measured(), {}).dump());
  EXPECT_EQ(record.at("totals").at("dead_directions"), 85);
  EXPECT_TRUE(record.at("consumers").empty());
}

TEST(CauseRecordTest, TheTableLeavesOutWhatTheModelDoesNotHaveAndSaysWhyWhatIsNotMeasured) {
  const std::string text = narrate({}, measured(), /*coloured=*/false);
  EXPECT_NE(text.find("values"), text.npos);
  EXPECT_NE(text.find("gauge"), text.npos);
  EXPECT_NE(text.find("rotation: no curve is known."), text.npos);
  EXPECT_EQ(text.find("router"), text.npos);
}

TEST(CauseRecordTest, AnOutputThatMovesOrAnFThatIsNoNumberIsNotConfirmed) {
  CauseMeasurement measurement = measured();
  measurement.causes[0].movement->dead = 1e-3;
  EXPECT_EQ(row(measurement, 0).at("verdict"), "refuted");
  EXPECT_EQ(exit_code_of(measurement), ExitCode::refuted);
  measurement = measured();
  measurement.causes[0].group.dead[1] = std::nan("");
  EXPECT_EQ(row(measurement, 0).at("verdict"), "undetermined");
  EXPECT_TRUE(row(measurement, 0).at("dead").is_null());
  EXPECT_EQ(exit_code_of(measurement), ExitCode::undetermined);
}

}  // namespace
}  // namespace deadray
