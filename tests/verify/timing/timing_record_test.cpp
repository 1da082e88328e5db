#include "verify/timing/timing_record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace deadray {
namespace {

using Json = nlohmann::json;

TEST(TimingMethodTest, EveryNameLeadsBackToItsMethod) {
  for (const TimingMethod method : kOwnMethods)
    EXPECT_EQ(timing_method_from_name(to_string(method)), method);
  for (const TimingMethod method : kPeerMethods)
    EXPECT_EQ(timing_method_from_name(to_string(method)), method);
  EXPECT_FALSE(timing_method_from_name("guess"));
}

TEST(TimingRecordTest, HoldsMediansReasonsAndGrowth) {
  TimingRun run;
  run.problems = {{64, 80, ""}, {128, 160, ""}};
  run.rows = {
      {64, TimingMethod::eigh, "cpu", "", {}, 2, {3.0, 1.0, 2.0}, ""},
      {128, TimingMethod::eigh, "cpu", "", {}, 2, {16.0}, ""},
      {128, TimingMethod::svd, "cpu", "", Peer{"scipy", "1.0", "OpenBLAS"}, 2, {}, "too long"},
      {128, TimingMethod::moments, "cpu", "", {}, 2, {}, ""}};
  const Json record = timing_record(run, cpu_backend());
  EXPECT_EQ(record.at("schema"), "deadray/timing/1");
  EXPECT_EQ(record.at("complete"), false);
  ASSERT_EQ(record.at("rows").size(), 2U);
  const Json& row = record.at("rows")[0];
  EXPECT_EQ(row.at("d"), 64);
  EXPECT_EQ(row.at("seconds"), 2.0);
  EXPECT_EQ(row.at("min"), 1.0);
  EXPECT_EQ(row.at("max"), 3.0);
  EXPECT_EQ(row.at("repetitions"), 3);
  for (const char* key : {"model", "peer", "version", "kernel"})
    EXPECT_TRUE(row.at(key).is_null()) << key;
  ASSERT_EQ(record.at("skipped").size(), 1U) << "a row that a stop came before is none";
  EXPECT_EQ(record.at("skipped")[0].at("peer"), "scipy");
  EXPECT_EQ(record.at("skipped")[0].at("reason"), "too long");
  ASSERT_EQ(record.at("fits").size(), 1U);
  // From 2 s to 16 s as d doubles: d^3, but for the rounding of a few logarithms.
  EXPECT_NEAR(record.at("fits")[0].at("exponent"), 3.0, 1e-12);
  for (const char* key : {"date", "commit", "machine", "options", "problems", "environment"})
    EXPECT_TRUE(record.contains(key)) << key;
  const std::string text = timing_text(run, /*coloured=*/false);
  for (const char* part : {"d^3.00", "svd of scipy 1.0 at d = 128: too long"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

/// Two rows, the second one beside a program that took a quarter of the processors.
TimingRun run_on_a_busy_machine() {
  TimingRun run;
  run.rows = {{64, TimingMethod::eigh, "cpu", "", {}, 2, {1.0}, "", LoadTimes{80, 0, 0, 40, 0}},
              {64, TimingMethod::svd, "cpu", "", {}, 2, {2.0}, "", LoadTimes{20, 5, 1, 9, 1}}};
  return run;
}

TEST(TimingLoadTest, StandsInTheRecordOfEachRowAndOfTheMachine) {
  const Json record = timing_record(run_on_a_busy_machine(), cpu_backend());
  EXPECT_EQ(record.at("rows")[0].at("load"),
            (Json{{"others", 0.0}, {"steal", 0.0}, {"waited", 0.0}, {"busy", false}}));
  EXPECT_EQ(record.at("rows")[1].at("load"),
            (Json{{"others", 0.25}, {"steal", 0.05}, {"waited", 0.1}, {"busy", true}}));
  EXPECT_EQ(record.at("machine").at("load"),
            (Json{{"others", 0.05}, {"steal", 0.01}, {"waited", 0.02}, {"busy", false}}));
}

TEST(TimingLoadTest, MarksTheRowsThatAreUpperBounds) {
  const std::string text = timing_text(run_on_a_busy_machine(), /*coloured=*/false);
  const std::size_t svd = text.find("svd"), end = text.find('\n', svd);
  EXPECT_EQ(text.substr(end - 4, 4), "busy") << text;
  EXPECT_EQ(text.find("busy"), end - 4) << "not the row before\n" << text;
  for (const char* part : {"other programs used 5 % of the processors, 1 % was stolen, threads "
                           "waited 2 % of their time\n",
                           "upper bounds"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(TimingLoadTest, IsNotSpokenOfWhereNothingIsKnown) {
  TimingRun run;
  run.rows = {{64, TimingMethod::eigh, "cpu", "", {}, 2, {1.0}, ""}};
  const Json record = timing_record(run, cpu_backend());
  for (const Json& load : {record.at("rows")[0].at("load"), record.at("machine").at("load")})
    for (const char* key : {"others", "steal", "waited", "busy"})
      EXPECT_TRUE(load.at(key).is_null()) << key;
  const std::string text = timing_text(run, /*coloured=*/false);
  for (const char* part : {"busy", "other programs", "waited", "machine"})
    EXPECT_EQ(text.find(part), std::string::npos) << text;
}

}  // namespace
}  // namespace deadray
