#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/small_model.h"
#include "tests/support/spawned.h"

// `deadray bench predict` as a user runs it. Times are whatever they are on this machine.
namespace deadray::test {
namespace {

class BenchPredictTest : public testing::Test {
 protected:
  nlohmann::json record(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "bench");
    arguments.insert(arguments.end(), {"--json", "-"});
    Spawned run(std::move(arguments));
    EXPECT_EQ(run.wait(), 0) << run.errors();
    return nlohmann::json::parse(run.output());
  }

  TemporaryFolder folder_;
};

TEST_F(BenchPredictTest, TimesThePredictionAndTheWholeProcess) {
  write_small_gpt2(folder_.path());
  const auto result = record({"predict", "--dims", "16,64", "--model", folder_.path().string()});
  EXPECT_EQ(result.at("schema"), "deadray/bench-predict/1");
  ASSERT_EQ(result.at("warm").size(), 2U);
  EXPECT_EQ(result.at("warm")[1].at("hidden_size"), 64);
  for (const auto& row : result.at("warm")) {
    EXPECT_GT(row.at("copy").get<double>(), 0.0);
    EXPECT_GT(row.at("predict").get<double>(), 0.0);
  }
  EXPECT_GT(result.at("process").at("best").get<double>(),
            100 * result.at("warm")[0].at("predict").get<double>())
      << "a process takes some milliseconds, a prediction in memory a fraction of a microsecond";
  EXPECT_TRUE(result.at("environment").contains("version"));
}

TEST_F(BenchPredictTest, NamesItsSubcommands) {
  expect_failure(ExitCode::usage, {"bench", "nope"},
                 {"unknown subcommand nope", "timing", "kernels", "predict"});
}

// The child's failure is the bench's own: its code, its one line.
TEST_F(BenchPredictTest, EndsAsThePredictionThatItStartsDoes) {
  for (const std::string config : {"{}", R"({"model_type": "unheard-of"})"}) {
    write_small_gpt2(folder_.path(), small_gpt2(), config);
    Spawned alone({"predict", folder_.path().string()}),
        bench({"bench", "predict", "--dims", "8", "--model", folder_.path().string()});
    EXPECT_NE(alone.wait(), 0);
    EXPECT_EQ(bench.wait(), alone.wait());
    EXPECT_EQ(bench.errors(), alone.errors());
    EXPECT_EQ(bench.output(), "");
  }
}

}  // namespace
}  // namespace deadray::test
