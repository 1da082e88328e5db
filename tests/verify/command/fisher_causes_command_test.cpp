#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/support/errors.h"
#include "tests/support/spawned.h"
#include "tests/verify/command/fixture_models.h"

// `deadray fisher --causes` as a user runs it, on the fixtures.
namespace deadray::test {
namespace {

nlohmann::json record_of(std::vector<std::string> arguments, ExitCode code = ExitCode::done) {
  arguments.insert(arguments.begin(), "fisher");
  arguments.insert(arguments.end(),
                   {"--random-tokens", "32", "--sequence-length", "8", "--json", "-"});
  Spawned run(std::move(arguments));
  EXPECT_EQ(run.wait(), static_cast<int>(code)) << run.errors();
  return nlohmann::json::parse(run.output());
}

std::set<std::string> causes_of(const nlohmann::json& record) {
  std::set<std::string> names;
  for (const auto& cause : record.at("causes")) names.insert(cause.at("cause"));
  return names;
}

// A word stands for the causes that begin with it: norm for norm_kernel, norm_shift, norm_scale.
TEST(FisherCausesCommandTest, AWordNamesACauseOrAllThatBeginWithIt) {
  const std::string model = kModels + "gpt-neox-parallel";
  EXPECT_EQ(causes_of(record_of({model, "--causes", "values"})), std::set<std::string>{"values"});
  EXPECT_EQ(causes_of(record_of({model, "--causes", "norm,rotation"})),
            (std::set<std::string>{"norm_kernel", "norm_scale", "norm_shift", "rotation"}));
}

// In FP64 what is flat has an F of rounding, (2^-53)^2 of a control's and some hundreds for sums;
// finite steps along the curve round as their products do (kStillOnCurve).
TEST(FisherCausesCommandTest, EveryMeasuredCauseIsConfirmedAndAGauge) {
  const auto record = record_of({kModels + "gpt-neox-parallel", "--causes",
                                 "norm,values,queries,along,rotation", "--invariance", "--order"});
  int measured = 0;
  for (const auto& cause : record.at("causes")) {
    if (cause.at("ratio").is_null()) continue;
    ++measured;
    EXPECT_EQ(cause.at("verdict"), "confirmed") << cause.dump();
    EXPECT_LT(cause.at("ratio").get<double>(), 1e-24) << cause.dump();
    EXPECT_LT(cause.at("invariance").get<double>(), 1e-9) << cause.dump();
    EXPECT_EQ(cause.at("order").at("kind"), "gauge") << cause.dump();
    EXPECT_EQ(cause.at("order_random").at("kind"), "regular") << cause.dump();
  }
  EXPECT_GT(measured, 5);
}

// A cause that the configuration breaks is listed with 0 and why, and is no failure.
TEST(FisherCausesCommandTest, WhatTheModelLacksIsSaidAndEndsWell) {
  const auto record = record_of({kModels + "llama-gqa-tied", "--causes", "norm_kernel"});
  ASSERT_FALSE(record.at("causes").empty());
  for (const auto& cause : record.at("causes")) {
    EXPECT_EQ(cause.at("dimension"), 0) << cause.dump();
    EXPECT_NE(cause.at("why"), "") << cause.dump();
    EXPECT_TRUE(cause.at("verdict").is_null()) << cause.dump();
  }
}

TEST(FisherCausesCommandTest, RefusesWhatDoesNotGoTogether) {
  const std::string model = kModels + "gpt2-untied";
  const auto refused = [&](std::vector<std::string> arguments,
                           const std::vector<std::string>& parts) {
    arguments.insert(arguments.begin(), {"fisher", model});
    expect_failure(ExitCode::usage, std::move(arguments), parts);
  };
  refused({"--causes", "nrom"}, {"--causes", "nrom", "norm"});
  refused({"--causes", "all", "--site", "all"}, {"--causes", "--site"});
  refused({"--causes", "all", "--dump", "d.safetensors"}, {"--causes", "--dump"});
  refused({"--causes", "all", "--no-kfac"}, {"--causes", "--no-kfac"});
  refused({"--order"}, {"--order", "--causes"});
}

}  // namespace
}  // namespace deadray::test
