#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/small_model.h"
#include "tests/support/spawned.h"
#include "tests/verify/command/fixture_models.h"

// `deadray suite` as a user runs it, on a roster of fixtures.
namespace deadray::test {

using Json = nlohmann::json;

class SuiteCommandTest : public testing::Test {
 protected:
  SuiteCommandTest() {
    setenv("HF_HUB_CACHE", (folder_ / "cache").c_str(), 1);
    unsetenv("SLURM_ARRAY_TASK_ID");  // the tests' own array, where they run in one
  }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  Json fixture(const std::string& name) const { return {{"name", name}, {"path", kModels + name}}; }

  void write_roster(Json::initializer_list_t models) {
    folder_.write("roster.json", Json{{"schema", "deadray/roster/1"},
                                      {"note", "our own choice"},
                                      {"models", Json::array(models)}}
                                     .dump());
  }
  /// Of fixtures, at 300 tokens, into out/.
  std::vector<std::string> arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"suite", path("roster.json"), "--out", path("out")};
    for (const char* option : {"--random-tokens", "--sequence-length"})
      if (std::find(more.begin(), more.end(), option) == more.end())
        words.insert(words.end(),
                     {option, option == std::string("--random-tokens") ? "300" : "20"});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Json run(int code, const std::vector<std::string>& more = {}) {
    Spawned suite(arguments(more));
    EXPECT_EQ(suite.wait(), code) << suite.errors();
    output_ = suite.output(), errors_ = suite.errors();
    return fs::exists(folder_ / "out/suite.json")
               ? Json::parse(read_text(folder_ / "out/suite.json"))
               : Json();
  }
  Json record(const std::string& name) const {
    return Json::parse(read_text(folder_ / ("out/" + name + ".json")));
  }
  static std::vector<std::string> states(const Json& suite) {
    std::vector<std::string> list;
    for (const Json& row : suite.at("rows")) list.push_back(row.at("state"));
    return list;
  }
  void expect_failure(int code, const std::vector<std::string>& more,
                      const std::vector<std::string>& parts) {
    test::expect_failure(static_cast<ExitCode>(code), arguments(more), parts);
  }

  TemporaryFolder folder_;
  std::string output_, errors_;
};

}  // namespace deadray::test
