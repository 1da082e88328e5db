#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "tests/support/variable.h"
#include "tests/verify/command/suite_fixture.h"

// A suite in parts, and the parts put together.
namespace deadray::test {
namespace {

class SuiteShardTest : public SuiteCommandTest {
 protected:
  SuiteShardTest() {
    write_roster({fixture("gpt2-tied"), fixture("llama-mha"), fixture("gpt2-untied")});
  }
  /// The command line of a part with random weights.
  std::vector<std::string> part(const std::string& shard, const std::string& out,
                                std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--shard", shard, "--quiet"});
    return into(out, std::move(more));
  }
  std::vector<std::string> into(const std::string& out, std::vector<std::string> more) const {
    std::vector<std::string> words = arguments(std::move(more));
    words.at(3) = path(out);
    if (std::find(words.begin(), words.end(), "--init") == words.end())
      words.insert(words.end(), {"--init", "random"});
    return words;
  }
  void run_part(const std::string& shard, const std::string& out,
                std::vector<std::string> more = {}) {
    Spawned spawned(part(shard, out, std::move(more)));
    EXPECT_EQ(spawned.wait(), 0) << spawned.errors();
  }
  std::vector<std::string> merging(const std::vector<std::string>& folders) const {
    std::vector<std::string> words = {"suite", path("roster.json"), "--out", path("out"),
                                      "--merge"};
    for (const std::string& folder : folders) words.push_back(path(folder));
    return words;
  }
  /// out/suite.json, made from the parts.
  Json merge(int code, const std::vector<std::string>& folders) {
    Spawned spawned(merging(folders));
    EXPECT_EQ(spawned.wait(), code) << spawned.errors();
    output_ = spawned.output(), errors_ = spawned.errors();
    return Json::parse(read_text(folder_ / "out/suite.json"));
  }
  void expect_no_merge(ExitCode code, const std::vector<std::string>& folders,
                       const std::vector<std::string>& parts) {
    test::expect_failure(code, merging(folders), parts);
  }
  void edit(const std::string& name, const std::function<void(Json&)>& change) {
    Json json = Json::parse(read_text(folder_ / name));
    change(json);
    write_text(folder_ / name, json.dump());
  }
  /// The records of a folder, and its report, but for what differs from run to run.
  std::map<std::string, std::string> content(const std::string& folder) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder_ / folder)) {
      if (!entry.is_regular_file()) continue;
      auto json = nlohmann::ordered_json::parse(read_text(entry.path()));
      forget(json);
      files[entry.path().filename()] = json.dump(2);
    }
    return files;
  }

 private:
  static void forget(nlohmann::ordered_json& json) {
    if (json.is_object())
      for (const char* key : {"seconds", "environment", "started", "peak_memory_bytes"})
        json.erase(key);
    for (auto& value : json)
      if (value.is_structured()) forget(value);
  }
};

TEST_F(SuiteShardTest, PartsThatShareAFolderMergeToWhatOneRunWrites) {
  folder_.write("broken/config.json", "{");
  write_roster(
      {fixture("gpt2-tied"),
       {{"name", "absent"}, {"hf_id", "org/absent"}, {"config", Json::parse(kSmallConfig)}},
       fixture("llama-mha"),
       {{"name", "broken"}, {"path", "broken"}}});
  const Json whole = run(3, {"--quiet"});
  fs::rename(folder_ / "out", folder_ / "whole");
  {
    std::vector<std::unique_ptr<Spawned>> parts;  // at once, as on several machines
    for (const char* shard : {"0/3", "1/3", "2/3"})
      parts.push_back(
          std::make_unique<Spawned>(part(shard, "out", {"--init", "random,checkpoint"})));
  }
  EXPECT_FALSE(fs::exists(folder_ / "out/suite.json")) << "no part's report is the suite's";
  const Json merged = merge(3, {"out"});
  EXPECT_EQ(states(merged), states(whole));
  EXPECT_EQ(merged.at("code"), whole.at("code"));
  EXPECT_EQ(content("out"), content("whole"));
  EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 3) << "as one run says: " << errors_;
}

TEST_F(SuiteShardTest, PartsInFoldersOfTheirOwnAreCopied) {
  run_part("0/2", "a"), run_part("1/2", "b");
  EXPECT_EQ(states(merge(0, {"a", "b"})), std::vector<std::string>(3, "measured"));
  for (const char* name :
       {"a/gpt2-tied.random.json", "b/llama-mha.random.json", "a/gpt2-untied.random.json"})
    EXPECT_EQ(read_text(folder_ / "out" / fs::path(name).filename()), read_text(folder_ / name));
  EXPECT_EQ(content("out").size(), 4U);
  merge(0, {"b", "a"});
  merge(0, {"a", "b", "a"});
}

TEST_F(SuiteShardTest, ResumeWorksForAPart) {
  run_part("0/2", "out"), run_part("1/2", "out");
  const std::string other = read_text(folder_ / "out/shards/1-of-2.json"),
                    kept = read_text(folder_ / "out/gpt2-tied.random.json");
  fs::remove(folder_ / "out/gpt2-untied.random.json");
  run_part("0/2", "out", {"--resume"});
  EXPECT_EQ(states(Json::parse(read_text(folder_ / "out/shards/0-of-2.json"))),
            (std::vector<std::string>{"kept", "measured"}));
  EXPECT_EQ(read_text(folder_ / "out/shards/1-of-2.json"), other);
  EXPECT_EQ(read_text(folder_ / "out/gpt2-tied.random.json"), kept);
  EXPECT_EQ(states(merge(0, {"out"})), (std::vector<std::string>{"kept", "measured", "measured"}));
}

TEST_F(SuiteShardTest, MergeNamesWhatIsMissing) {
  run_part("0/2", "out");
  const auto expect_missing = [&](const std::string& why) {
    const Json merged = merge(8, {"out"});
    EXPECT_EQ(states(merged), (std::vector<std::string>{"measured", "not run", "measured"}));
    EXPECT_EQ(merged.at("code"), 8);
    EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
    for (const std::string& part : {std::string("llama-mha, random: not run: part 1/2"), why})
      EXPECT_NE(errors_.find(part), std::string::npos) << errors_;
    EXPECT_NE(output_.find("llama-mha, random: not run: part 1/2"), std::string::npos) << output_;
  };
  expect_missing("has left no report");
  run_part("1/2", "out");
  const std::string record = read_text(folder_ / "out/llama-mha.random.json");
  merge(0, {"out"});
  for (const std::string& other : {std::string(), record.substr(0, 1000), std::string("{}")}) {
    write_text(folder_ / "out/llama-mha.random.json", other);
    expect_missing("reports a record that is gone, or damaged");
  }
  edit("out/llama-mha.random.json", [&](Json& json) {
    json = Json::parse(record);
    json["suite"]["seconds"] = 1e9;  // of another run than the one reported
  });
  expect_missing("reports a record that is gone, or damaged");
  for (const char* state : {"stopped", "not run"}) {
    edit("out/shards/1-of-2.json", [&](Json& json) { json["rows"][0]["state"] = state; });
    expect_missing("ended before it");
  }
}

TEST_F(SuiteShardTest, MergeRefusesPartsThatDoNotBelongTogether) {
  run_part("0/2", "a"), run_part("1/2", "b");
  expect_no_merge(ExitCode::usage, {"none"}, {path("none"), "no reports of parts"});
  run_part("0/2", "again");
  expect_no_merge(ExitCode::malformed, {"a", "b", "again"},
                  {path("a/gpt2-tied.random.json"), path("again/gpt2-tied.random.json"),
                   "different records of one row"});
  run_part("0/2", "seeded", {"--seed", "3"});
  expect_no_merge(ExitCode::usage, {"b", "seeded"},
                  {path("seeded/shards/0-of-2.json"), "'seed'", path("b/shards/1-of-2.json")});
  run_part("2/3", "a");
  expect_no_merge(ExitCode::usage, {"a", "b"}, {"2-of-3.json", "'count'", "0-of-2.json"});
  fs::remove(folder_ / "a/shards/2-of-3.json");
  const std::string roster = read_text(folder_ / "roster.json");
  write_roster({fixture("gpt2-tied"), fixture("llama-mha")});
  expect_no_merge(ExitCode::usage, {"a", "b"},
                  {path("a/shards/0-of-2.json"), "another roster", path("roster.json")});
  write_text(folder_ / "roster.json", roster);
  EXPECT_FALSE(fs::exists(folder_ / "out")) << "nothing was written";

  const std::string report = read_text(folder_ / "b/shards/1-of-2.json");
  const auto expect_damaged = [&](const std::string& text) {
    write_text(folder_ / "b/shards/1-of-2.json", text);
    expect_no_merge(ExitCode::malformed, {"a", "b"},
                    {path("b/shards/1-of-2.json"), "no whole report of a part"});
  };
  expect_damaged(""), expect_damaged("[]"), expect_damaged(report.substr(0, report.size() / 2));
  for (const char* key : {"shard", "rows", "schema"}) {
    Json json = Json::parse(report);
    json.erase(key);
    expect_damaged(json.dump());
  }
  for (const char* key : {"index", "count", "roster", "only", "init"}) {
    Json json = Json::parse(report);
    json["shard"].erase(key);
    expect_damaged(json.dump());
  }
  const auto with_row = [&](const Json& row) {
    Json json = Json::parse(report);
    json["rows"] = Json::array({row});
    return json.dump();
  };
  Json row{{"model", "llama-mha"}, {"init", "random"}, {"state", "?"}};
  for (const Json& no_row : {Json(1), Json::object(), Json{{"model", "llama-mha"}}, row})
    expect_damaged(with_row(no_row));
  row.update({{"state", "failed"}, {"code", 0}, {"reason", "none: \x1b[31m"}});
  expect_damaged(with_row(row));  // a failure with the exit code of success
  row["code"] = 4;
  write_text(folder_ / "b/shards/1-of-2.json", with_row(row));
  merge(4, {"a", "b"});
  EXPECT_NE(errors_.find("llama-mha, random: failed: none: \\x1b[31m\n"), std::string::npos)
      << errors_;
  EXPECT_EQ((errors_ + output_).find('\x1b'), std::string::npos) << output_;
}

TEST_F(SuiteShardTest, SaysInOneLineWhatIsWrongWithTheCommandLine) {
  for (const char* shard : {"0/0", "4/3", "3/3", "words", "1"})
    expect_failure(2, {"--shard", shard}, {"--shard", shard});
  expect_failure(2, {"--merge", path("out")}, {"--merge and --random-tokens", "leave"});
  const Variable id("SLURM_ARRAY_TASK_ID", "7");
  expect_failure(2, {}, {"SLURM_ARRAY_TASK_COUNT", "--shard I/N"});
}

TEST_F(SuiteShardTest, IsTheTasksPartInASlurmArrayUnlessTold) {
  const Variable id("SLURM_ARRAY_TASK_ID", "3"), count("SLURM_ARRAY_TASK_COUNT", "3"),
      least("SLURM_ARRAY_TASK_MIN", "1"), most("SLURM_ARRAY_TASK_MAX", "3"),
      step("SLURM_ARRAY_TASK_STEP", "1");
  run(0, {"--init", "random"});
  EXPECT_NE(errors_.find("part 2/3 of the suite: 1 row\n"), std::string::npos) << errors_;
  EXPECT_EQ(states(Json::parse(read_text(folder_ / "out/shards/2-of-3.json"))).size(), 1U);
  EXPECT_TRUE(fs::exists(folder_ / "out/gpt2-untied.random.json"));
  run_part("0/3", "out");
  EXPECT_TRUE(fs::exists(folder_ / "out/gpt2-tied.random.json"));
  EXPECT_EQ(states(merge(8, {"out"})),
            (std::vector<std::string>{"measured", "not run", "measured"}));
}

}  // namespace
}  // namespace deadray::test
