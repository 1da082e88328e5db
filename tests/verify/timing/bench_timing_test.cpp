#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "host/base/error.h"
#include "tests/support/small_model.h"
#include "tests/support/spawned.h"
#include "verify/timing/power_law.h"
#include "verify/timing/timing_record.h"
#include "verify/timing/timing_turns.h"

namespace deadray::test {
namespace {

using Json = nlohmann::json;

TEST(PowerLawTest, FindsTheLawThatMadeThePoints) {
  std::vector<CostPoint> points;
  for (const double d : {256.0, 512.0, 4096.0}) points.push_back({d, 3e-9 * std::pow(d, 2.75)});
  const auto law = fit_power_law(points);
  ASSERT_TRUE(law);
  EXPECT_NEAR(law->exponent, 2.75, 1e-12);
  EXPECT_NEAR(law->coefficient / 3e-9, 1.0,
              1e-11);  // the exponent's rounding times log d, and the exponential's
  EXPECT_EQ(law->points, 3);
}

TEST(PowerLawTest, NeedsTwoSizes) {
  EXPECT_FALSE(fit_power_law({}));
  EXPECT_FALSE(fit_power_law(std::vector<CostPoint>{{512, 1.0}, {512, 2.0}}));
}

/// Does nothing, and says that it took `seconds`.
Contender contender(const std::string& method, double seconds) {
  Contender made;
  made.method = method;
  made.run = [seconds] { return seconds; };
  made.available = [] { return 1000.0; };
  return made;
}

class TurnsTest : public testing::Test {
 protected:
  const std::vector<TimingRow>& take(const std::vector<Contender>& contenders,
                                     std::int64_t d = 64) {
    Progress progress("test", /*quiet=*/true);
    take_turns(contenders, {d, 2 * d, ""}, options_, progress, run_);
    return run_.rows;
  }
  TurnOptions options_{.repetitions = 3, .budget = 10, .limit = 100};
  TimingRun run_;
};

TEST_F(TurnsTest, ReadsEveryContenderAsOftenAsAskedFor) {
  const auto& rows = take({contender("eigh", 2.0), contender("svd", 4.0)});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].seconds, std::vector<double>(3, 2.0));
  EXPECT_EQ(rows[1].seconds, std::vector<double>(3, 4.0));
}

TEST_F(TurnsTest, ReadsOnceWhatUsesUpItsBudget) {
  options_.budget = 0;
  EXPECT_EQ(take({contender("eigh", 2.0)})[0].seconds.size(), 1U);
}

TEST_F(TurnsTest, SkipsWhatDoesNotFitTheMemoryAndSaysTheBytes) {
  Contender large = contender("svd", 1.0);
  large.bytes = 2048;
  large.run = [] { return ADD_FAILURE() << "it was run", 0.0; };
  const auto& rows = take({large, contender("eigh", 1.0)});
  EXPECT_TRUE(rows[0].seconds.empty());
  EXPECT_NE(rows[0].skipped.find("2.0 KiB"), std::string::npos) << rows[0].skipped;
  EXPECT_EQ(rows[1].seconds.size(), 3U);
}

TEST_F(TurnsTest, SkipsWhatWillTakeTooLongToJudgeByASmallerSize) {
  take({contender("eigh", 2.0), contender("predict", 1e-6)}, 64);
  const auto& rows =
      take({contender("eigh", 128.0), contender("predict", 1e-6)}, 256);  // 4^3 * 2 s > 100 s
  EXPECT_TRUE(rows[2].seconds.empty());
  EXPECT_NE(rows[2].skipped.find("128 s"), std::string::npos) << rows[2].skipped;
  EXPECT_EQ(rows[3].seconds.size(), 3U);
}

TEST_F(TurnsTest, GoesOnWithoutAContenderThatFails) {
  Contender broken = contender("eigh", 1.0);
  broken.run = []() -> double { throw ResourceError("no such library"); };
  const auto& rows = take({broken, contender("svd", 1.0)});
  EXPECT_EQ(rows[0].skipped, "no such library");
  EXPECT_EQ(rows[1].seconds.size(), 3U);
}

TEST(TimingRecordTest, HoldsMediansReasonsAndGrowth) {
  TimingRun run;
  run.problems = {{64, 80, ""}, {128, 160, ""}};
  run.rows = {{64, "eigh", "cpu", "", {}, 2, {3.0, 1.0}, ""},
              {128, "eigh", "cpu", "", {}, 2, {16.0}, ""},
              {128, "svd", "cpu", "", Peer{"scipy", "1.0", "OpenBLAS"}, 2, {}, "too long"},
              {128, "moments", "cpu", "", {}, 2, {}, ""}};
  const Json record = timing_record(run, cpu_backend());
  EXPECT_EQ(record.at("schema"), "deadray/timing/1");
  EXPECT_EQ(record.at("complete"), false);
  ASSERT_EQ(record.at("rows").size(), 2U);
  const Json& row = record.at("rows")[0];
  EXPECT_EQ(row.at("d"), 64);
  EXPECT_EQ(row.at("seconds"), 2.0);
  EXPECT_EQ(row.at("min"), 1.0);
  EXPECT_EQ(row.at("max"), 3.0);
  EXPECT_EQ(row.at("repetitions"), 2);
  for (const char* key : {"model", "peer", "version", "kernel"})
    EXPECT_TRUE(row.at(key).is_null()) << key;
  ASSERT_EQ(record.at("skipped").size(), 1U) << "a row that a stop came before is none";
  EXPECT_EQ(record.at("skipped")[0].at("peer"), "scipy");
  EXPECT_EQ(record.at("skipped")[0].at("reason"), "too long");
  ASSERT_EQ(record.at("fits").size(), 1U);
  EXPECT_NEAR(record.at("fits")[0].at("exponent"), 3.0, 1e-12);
  for (const char* key : {"date", "commit", "machine", "options", "problems", "environment"})
    EXPECT_TRUE(record.contains(key)) << key;
  const std::string text = timing_text(run, /*coloured=*/false);
  for (const char* part : {"d^3.00", "svd of scipy 1.0 at d = 128: too long"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

class BenchTimingCommandTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  Json record() const { return Json::parse(read_text(folder_ / "timing.json")); }
  static std::vector<std::string> command(const std::vector<std::string>& more) {
    std::vector<std::string> words = {"bench", "timing"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Json run(const std::vector<std::string>& more) {
    Spawned bench(command(more));
    EXPECT_EQ(bench.wait(), 0) << bench.errors();
    EXPECT_EQ(bench.errors(), "") << "standard error is no terminal";
    return Json::parse(bench.output());
  }
  /// A program in the place of scripts/bench_peers.
  std::string program(const std::string& body) {
    write_text(folder_ / "peers", "#!/bin/sh\n" + body);
    std::filesystem::permissions(folder_ / "peers", std::filesystem::perms::owner_all);
    return path("peers");
  }

  TemporaryFolder folder_;
};

TEST_F(BenchTimingCommandTest, TimesEveryMethodAtEverySize) {
  const Json result = run({"--dims", "16,32", "--repetitions", "2", "--json", "-"});
  std::map<std::string, int> times;
  for (const Json& row : result.at("rows")) {
    ++times[row.at("method")];
    EXPECT_GT(row.at("min").get<double>(), 0.0) << row;
    EXPECT_LE(row.at("min"), row.at("seconds")) << row;
    EXPECT_LE(row.at("seconds"), row.at("max")) << row;
    EXPECT_EQ(row.at("repetitions"), 2) << row;
  }
  EXPECT_EQ(times, (std::map<std::string, int>{{"predict", 2},
                                               {"predict_cold", 2},
                                               {"directional", 2},
                                               {"moments", 2},
                                               {"certificate", 2},
                                               {"spectrum", 2},
                                               {"eigh", 2},
                                               {"svd", 2}}));
  EXPECT_EQ(result.at("complete"), true);
  EXPECT_EQ(result.at("fits").size(), 8U);
  EXPECT_EQ(result.at("problems")[1], (Json{{"d", 32}, {"n", 40}, {"model", nullptr}}));
}

TEST_F(BenchTimingCommandTest, TimesAModelsForwardPassAndItsFinalNorm) {
  for (const std::string model : {"gpt2-tied", "llama-mha"}) {
    const Json result = run({"--repetitions", "1", "--device", "cpu",
                             DEADRAY_FIXTURES "/models/" + model, "--json", "-"});
    std::vector<std::string> methods;
    for (const Json& row : result.at("rows")) {
      methods.push_back(row.at("method"));
      EXPECT_EQ(row.at("model"), model);
    }
    EXPECT_EQ(methods,
              (std::vector<std::string>{"predict", "predict_cold", "directional", "moments",
                                        "certificate", "spectrum", "eigh", "svd", "forward"}));
  }
}

TEST_F(BenchTimingCommandTest, KeepsWhatWasFinishedWhenItIsStopped) {
  for (const auto& [signal, code] : {std::pair{SIGINT, 130}, std::pair{SIGTERM, 143}}) {
    std::filesystem::remove(folder_ / "timing.json");
    Spawned bench(command({"--dims", "16,32", "--methods", "eigh", "--repetitions", "100", "--json",
                           path("timing.json"), "--quiet"}));
    while (!std::filesystem::exists(folder_ / "timing.json"))
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    kill(bench.process(), signal);
    EXPECT_EQ(bench.wait(), code) << bench.errors();
    EXPECT_EQ(bench.errors(), "");
    const Json result = record();
    EXPECT_EQ(result.at("complete"), false);
    ASSERT_GE(result.at("rows").size(), 1U);
    EXPECT_EQ(result.at("rows")[0].at("d"), 16);
    EXPECT_EQ(result.at("rows")[0].at("repetitions"), 100);
  }
}

TEST_F(BenchTimingCommandTest, ShowsPeersInTheSameTable) {
  const std::string offer =
      R"({"peers": [{"method": "eigh", "peer": "other", "version": "2.1", "threads": 2,)"
      R"( "kernel": "fast", "bytes": 0}],)"
      R"( "missing": [{"method": "svd", "peer": "absent", "reason": "not installed"}]})";
  const Json result =
      run({"--dims", "16", "--methods", "eigh", "--repetitions", "2", "--json", "-", "--peers",
           program("test -s \"$2\" || exit 1\necho '" + offer +
                   "'\nwhile read n; do echo '{\"seconds\": 0.25}'; done\n")});
  ASSERT_EQ(result.at("rows").size(), 2U);
  const Json& row = result.at("rows")[1];
  EXPECT_EQ(row.at("peer"), "other");
  EXPECT_EQ(row.at("version"), "2.1");
  EXPECT_EQ(row.at("kernel"), "fast");
  EXPECT_EQ(row.at("seconds"), 0.25);
  EXPECT_EQ(result.at("skipped")[0].at("reason"), "not installed");
}

TEST_F(BenchTimingCommandTest, GoesOnWithoutPeersThatEnd) {
  const std::string offer =
      R"({"peers": [{"method": "eigh", "peer": "other", "version": "2", "threads": 1,)"
      R"( "bytes": 0}], "missing": []})";
  const Json result = run({"--dims", "16", "--methods", "eigh", "--repetitions", "2", "--json", "-",
                           "--peers", program("echo '" + offer + "'\nread n\n")});
  EXPECT_EQ(result.at("rows").size(), 1U);
  EXPECT_EQ(result.at("skipped")[0].at("peer"), "other");
  expect_failure(
      ExitCode::resources,
      command({"--dims", "16", "--methods", "eigh", "--json", "-", "--peers", program("exit 3\n")}),
      {"--peers", "JSON"});
}

TEST_F(BenchTimingCommandTest, RefusesWhatItDoesNotKnow) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--methods", "guess"}, {"--device", "tpu"}, {"--dims", "0"},
      {"--repetitions", "0"}, {"--budget", "-1"},  {"--peers", path("none")}};
  for (const auto& words : wrong)
    expect_failure(ExitCode::usage, command(words), {words[1] == "-1" ? "budget" : words[1]});
}

}  // namespace
}  // namespace deadray::test
