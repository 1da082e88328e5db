#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/support/small_model.h"
#include "tests/support/spawned.h"
#include "tests/support/wait_until.h"

// `deadray bench timing` as a user runs it.
namespace deadray::test {
namespace {

using Json = nlohmann::json;

class BenchTimingTest : public testing::Test {
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

  static Json peer(const std::string& method) {
    return {
        {"method", method}, {"peer", "other"}, {"version", "2.1"}, {"threads", 2}, {"bytes", 0}};
  }
  /// The line in which such a program says what it can do.
  static std::string offer(const Json& peer, const Json& missing = Json::array()) {
    return Json{{"peers", Json::array({peer})}, {"missing", missing}}.dump();
  }

  TemporaryFolder folder_;
};

TEST_F(BenchTimingTest, TimesEveryMethodAtEverySize) {
  const Json result = run({"--dims", "16,32", "--repetitions", "2", "--json", "-"});
  std::map<std::string, int> times;
  std::map<std::string, double> least;
  for (const Json& row : result.at("rows")) {
    ++times[row.at("method")];
    least[row.at("method")] = row.at("min");
    EXPECT_GT(row.at("min").get<double>(), 0.0) << row;
    EXPECT_EQ(row.at("repetitions"), 2) << row;
  }
  EXPECT_GT(least.at("predict_cold"), 100 * least.at("predict"))
      << "a process takes some milliseconds, a prediction in memory a fraction of a microsecond";
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

TEST_F(BenchTimingTest, TimesAModelsForwardPassAndItsFinalNorm) {
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

TEST_F(BenchTimingTest, KeepsWhatWasFinishedWhenItIsStopped) {
  for (const auto& [signal, code] : {std::pair{SIGINT, 130}, std::pair{SIGTERM, 143}}) {
    std::filesystem::remove(folder_ / "timing.json");
    Spawned bench(command({"--dims", "16,32", "--methods", "eigh", "--repetitions", "100", "--json",
                           path("timing.json"), "--quiet"}));
    EXPECT_TRUE(wait_until("the record of the first problem",
                           [&] { return std::filesystem::exists(folder_ / "timing.json"); }));
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

TEST_F(BenchTimingTest, ShowsPeersInTheSameTable) {
  Json fast = peer("eigh");
  fast["kernel"] = "fast";
  const Json absent = {{"method", "svd"}, {"peer", "absent"}, {"reason", "not installed"}};
  const Json result =
      run({"--dims", "16", "--methods", "eigh", "--repetitions", "2", "--json", "-", "--peers",
           program("test -s \"$2\" || exit 1\necho '" + offer(fast, Json::array({absent})) +
                   "'\nwhile read n; do echo '{\"seconds\": 0.25}'; done\n")});
  ASSERT_EQ(result.at("rows").size(), 2U);
  const Json& row = result.at("rows")[1];
  EXPECT_EQ(row.at("peer"), "other");
  EXPECT_EQ(row.at("version"), "2.1");
  EXPECT_EQ(row.at("kernel"), "fast");
  EXPECT_EQ(row.at("seconds"), 0.25);
  EXPECT_EQ(result.at("skipped")[0].at("reason"), "not installed");
}

TEST_F(BenchTimingTest, GoesOnWithoutPeersThatEnd) {
  const Json result = run({"--dims", "16", "--methods", "eigh", "--repetitions", "2", "--json", "-",
                           "--peers", program("echo '" + offer(peer("eigh")) + "'\nread n\n")});
  EXPECT_EQ(result.at("rows").size(), 1U);
  EXPECT_EQ(result.at("skipped")[0].at("peer"), "other");
  expect_failure(
      ExitCode::resources,
      command({"--dims", "16", "--methods", "eigh", "--json", "-", "--peers", program("exit 3\n")}),
      {"--peers", "JSON"});
}

TEST_F(BenchTimingTest, RefusesAPeerOfAMethodThatThereIsNot) {
  expect_failure(ExitCode::resources,
                 command({"--dims", "16", "--methods", "eigh", "--json", "-", "--peers",
                          program("echo '" + offer(peer("guess")) + "'\nread n\n")}),
                 {"--peers", "'guess'"});
}

TEST_F(BenchTimingTest, RefusesWhatItDoesNotKnow) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--methods", "guess"}, {"--init", "trained"}, {"--device", "tpu"},      {"--dims", "0"},
      {"--repetitions", "0"}, {"--budget", "-1"},    {"--peers", path("none")}};
  for (const auto& words : wrong)
    expect_failure(ExitCode::usage, command(words), {words[1] == "-1" ? "budget" : words[1]});
}

}  // namespace
}  // namespace deadray::test
