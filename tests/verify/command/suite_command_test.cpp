#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include "tests/support/wait_until.h"
#include "tests/verify/command/suite_fixture.h"

namespace deadray::test {
namespace {

/// 0: there is none yet.
pid_t only_child_of(pid_t process) {
  const std::string name = std::to_string(process);
  return std::atoi(read_text("/proc/" + name + "/task/" + name + "/children").c_str());
}

TEST_F(SuiteCommandTest, WritesOneRecordForEachModelAndInitialisation) {
  write_roster({fixture("gpt2-tied"), fixture("llama-mha")});
  const Json suite = run(0, {"--dtype", "float32"});
  EXPECT_EQ(suite.at("schema"), "deadray/suite/1");
  EXPECT_EQ(states(suite), std::vector<std::string>(4, "measured"));
  for (const char* name :
       {"gpt2-tied.random", "gpt2-tied.checkpoint", "llama-mha.random", "llama-mha.checkpoint"}) {
    const Json one = record(name);
    EXPECT_EQ(one.at("schema"), "deadray/verify/1");
    EXPECT_EQ(one.at("model").at("name").get<std::string>() + "." +
                  one.at("model").at("init").get<std::string>(),
              name);
    const Json& site = one.at("sites").at(0);
    const bool layernorm = one.at("model").at("family") == "gpt2";
    EXPECT_EQ(site.at("verdict"), layernorm ? "confirmed" : "absent") << name;
    EXPECT_EQ(site.at("classified").at("suggests"), layernorm ? Json("layernorm") : Json()) << name;
    for (const char* reading : {"exact", "deployed"}) {
      EXPECT_EQ(site.at(reading).at("below").size(), 4U) << name;
      EXPECT_TRUE(site.at(reading).at("depth").is_number()) << name;
    }
    EXPECT_TRUE(site.at("schur").at("input").is_number()) << name;
    EXPECT_TRUE(one.at("residual").at("uncentred").is_array()) << name;
    const Json& of_suite = one.at("suite");
    EXPECT_GT(of_suite.at("peak_memory_bytes").get<double>(), 1e7) << name;
    EXPECT_LT(of_suite.at("peak_memory_bytes").get<double>(), 4e9) << name;
    EXPECT_GE(of_suite.at("seconds").get<double>(), one.at("seconds").at("total").get<double>())
        << name;
    EXPECT_FALSE(of_suite.at("commit").get<std::string>().empty());
    EXPECT_GE(of_suite.at("machine").at("cores").get<int>(), 1);
    EXPECT_NE(output_.find(one.at("model").at("name").get<std::string>()), std::string::npos)
        << output_;
  }
  EXPECT_NE(output_.find("our own choice"), std::string::npos) << output_;
}

TEST_F(SuiteCommandTest, NamesTheCommandThatGivesTheSameRecord) {
  write_roster({fixture("gpt2-tied")});
  run(0, {"--init", "random", "--seed", "7"});
  const Json first = record("gpt2-tied.random");
  const std::string command = first.at("suite").at("command");
  EXPECT_TRUE(command.starts_with("deadray suite ")) << command;
  ASSERT_EQ(std::system((DEADRAY_BIN "/" + command + " --quiet 2> /dev/null").c_str()), 0)
      << command;
  const auto strip = [](Json value) {
    for (const char* key : {"seconds", "environment"}) value.erase(key);
    for (const char* key : {"seconds", "started", "peak_memory_bytes"})
      value.at("suite").erase(key);
    return value;
  };
  EXPECT_EQ(strip(record("gpt2-tied.random")), strip(first));
}

TEST_F(SuiteCommandTest, NeedsNoFilesForRandomInitialisation) {
  write_roster({{{"name", "tiny"},
                 {"hf_id", "org/tiny"},
                 {"norm", "layernorm"},
                 {"config", Json::parse(kSmallConfig)}}});
  EXPECT_EQ(states(run(0, {"--init", "random"})), std::vector<std::string>{"measured"});
  EXPECT_EQ(record("tiny.random").at("model").at("dtype"), "bfloat16");
}

TEST_F(SuiteCommandTest, ReadsTheHubsCache) {
  const std::string commit(40, 'c');
  fs::create_directories(folder_ / "cache/models--org--tiny/snapshots");
  fs::copy(kModels + "gpt2-tied", folder_ / ("cache/models--org--tiny/snapshots/" + commit),
           fs::copy_options::recursive);
  folder_.write("cache/models--org--tiny/refs/main", commit + "\n");
  write_roster({{{"name", "tiny"}, {"hf_id", "org/tiny"}, {"config", Json::parse(kSmallConfig)}}});
  run(0, {"--init", "checkpoint"});
  EXPECT_EQ(record("tiny.checkpoint").at("suite").at("revision"), commit);
  EXPECT_EQ(record("tiny.checkpoint").at("model").at("name"), "tiny");
  EXPECT_EQ(record("tiny.checkpoint").at("sites").at(0).at("hidden_size"), 24)
      << "the checkpoint's own configuration";
}

// What is not there is said with the command that fetches it, counts as not done (exit 5), and
// keeps nothing else from being done.
TEST_F(SuiteCommandTest, SaysWhatIsNotDownloadedAndGoesOn) {
  const Json config = Json::parse(kSmallConfig);
  write_roster({{{"name", "tiny"},
                 {"hf_id", "org/tiny"},
                 {"revision", "v1"},
                 {"gated", "ask first"},
                 {"config", config}},
                {{"name", "elsewhere"}, {"hf_id", "org/b"}, {"path", "b"}, {"config", config}},
                {{"name", "nowhere"}, {"config", config}},
                fixture("gpt2-tied")});
  const Json suite = run(5, {"--init", "checkpoint"});
  EXPECT_EQ(states(suite), (std::vector<std::string>{"not downloaded", "not downloaded",
                                                     "not downloaded", "measured"}));
  for (const char* part :
       {": not downloaded: not in ", "hf download org/tiny --revision v1 (ask first)",
        "hf download org/b --local-dir "}) {
    EXPECT_NE(output_.find(part), std::string::npos) << output_;
    EXPECT_NE(errors_.find(part), std::string::npos) << errors_;
  }
  EXPECT_FALSE(fs::exists(folder_ / "out/tiny.checkpoint.json"));

  run(5, {"--init", "checkpoint", "--only", "tiny", "--quiet"});
  EXPECT_EQ(output_, "");
  EXPECT_EQ(std::count(errors_.begin(), errors_.end(), '\n'), 1) << errors_;
  EXPECT_NE(errors_.find("tiny, checkpoint: not downloaded: "), std::string::npos) << errors_;
}

TEST_F(SuiteCommandTest, GoesOnPastAFailingModelAndEndsWithItsCode) {
  folder_.write("broken/config.json", "{");
  write_small_gpt2(
      folder_.path());  // norms and embedding alone: fails in the process that measures
  fs::create_directories(folder_ / "partial");
  for (const char* file : {"config.json", "model.safetensors"})
    fs::rename(folder_ / file, folder_ / "partial" / file);
  Json unknown = Json::parse(kSmallConfig);
  unknown["model_type"] = "gtp2";
  write_roster({fixture("gpt2-tied"),
                {{"name", "partial"}, {"path", "partial"}},
                {{"name", "unknown"}, {"path", "none"}, {"config", unknown}},
                {{"name", "broken"}, {"path", "broken"}},
                {{"name", "contradicts"}, {"path", kModels + "llama-mha"}, {"norm", "layernorm"}},
                fixture("llama-mha")});
  const Json suite = run(3, {"--init", "checkpoint"});
  EXPECT_EQ(states(suite), (std::vector<std::string>{"measured", "failed", "failed", "failed",
                                                     "failed", "measured"}));
  const auto reason = [&](std::size_t row) {
    return suite.at("rows").at(row).at("reason").get<std::string>();
  };
  EXPECT_NE(reason(1).find("no tensor 'wpe.weight'"), std::string::npos) << reason(1);
  EXPECT_NE(reason(3).find("config.json"), std::string::npos) << reason(3);
  EXPECT_NE(reason(4).find("the roster expects norm layernorm"), std::string::npos) << reason(4);
  EXPECT_EQ(suite.at("code"), 3);
  for (const Json& row : suite.at("rows"))
    EXPECT_EQ(row.contains("record"), row.at("state") == "measured") << row;
  run(4, {"--init", "random", "--only", "unknown"});
}

TEST_F(SuiteCommandTest, EndsWithEightWhereTokensAreTooFew) {
  write_roster({fixture("gpt2-tied")});
  const Json suite =
      run(8, {"--init", "random", "--random-tokens", "10", "--sequence-length", "10"});
  EXPECT_EQ(suite.at("rows").at(0).at("verdict"), "undetermined");
}

TEST_F(SuiteCommandTest, ResumeKeepsWholeRecordsAndRedoesDamagedOnes) {
  write_roster({fixture("gpt2-tied"), fixture("llama-mha")});
  run(0);
  const std::string kept = read_text(folder_ / "out/gpt2-tied.random.json");
  const std::string half = read_text(folder_ / "out/llama-mha.random.json");
  write_text(folder_ / "out/llama-mha.random.json", half.substr(0, half.size() / 2));
  Json other = record("llama-mha.checkpoint");
  other["sites"] = Json::array();
  write_text(folder_ / "out/llama-mha.checkpoint.json", other.dump());
  fs::remove(folder_ / "out/gpt2-tied.checkpoint.json");
  EXPECT_EQ(states(run(0, {"--resume"})),
            (std::vector<std::string>{"kept", "measured", "measured", "measured"}));
  EXPECT_EQ(read_text(folder_ / "out/gpt2-tied.random.json"), kept);
  EXPECT_EQ(record("llama-mha.random").at("sites").size(), 1U);
  for (const char* part :
       {"llama-mha.random.json: not JSON, or nested too deep: damaged: measured again",
        "llama-mha.checkpoint.json: lacks norms: measured again"})
    EXPECT_NE(errors_.find(part), std::string::npos) << errors_;
  EXPECT_EQ(states(run(0, {"--resume"})), std::vector<std::string>(4, "kept"));
}

TEST_F(SuiteCommandTest, ResumeMeasuresAgainWhatWasMadeWithOtherInputs) {
  fs::copy(kModels + "gpt2-tied", folder_ / "model", fs::copy_options::recursive);
  write_roster({{{"name", "m"}, {"path", "model"}}});
  run(0, {"--init", "checkpoint"});
  const auto redone_for = [&](const std::string& key, std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--init", "checkpoint", "--resume"});
    EXPECT_EQ(states(run(0, more)), std::vector<std::string>{"measured"}) << key;
    EXPECT_NE(errors_.find("made with another " + key), std::string::npos) << errors_;
  };
  redone_for("seed", {"--seed", "3"});
  redone_for("seed");
  redone_for("dtype", {"--dtype", "float32"});
  redone_for("dtype");
  redone_for("site", {"--site", "all"});
  EXPECT_GT(record("m.checkpoint").at("sites").size(), 1U);
  redone_for("site");
  redone_for("random_tokens", {"--random-tokens", "400"});
  redone_for("random_tokens");
  fs::last_write_time(folder_ / "model/model.safetensors",
                      fs::file_time_type::clock::now() + std::chrono::hours(1));
  redone_for("weights");
  Json config = Json::parse(read_text(folder_ / "model/config.json"));
  config["summary_type"] = "last";
  write_text(folder_ / "model/config.json", config.dump());
  redone_for("config");
  EXPECT_EQ(states(run(0, {"--init", "checkpoint", "--resume"})), std::vector<std::string>{"kept"});

  const auto made_on = [&](const Json& device) {  // what a record of a device, or one from before
                                                  // the key, looks like
    Json edited = record("m.checkpoint");
    Json& inputs = edited.at("suite").at("inputs");
    if (device.is_null())
      inputs.erase("device");
    else
      inputs["device"] = device;
    write_text(folder_ / "out/m.checkpoint.json", edited.dump());
  };
  made_on("cuda");
  redone_for("device");
  EXPECT_EQ(record("m.checkpoint").at("suite").at("inputs").at("device"), "cpu");
  made_on(nullptr);
  EXPECT_EQ(states(run(0, {"--init", "checkpoint", "--resume"})), std::vector<std::string>{"kept"});
}

TEST_F(SuiteCommandTest, MeasuresOnCalibrationFilesOfTheRosterAndOfAFolder) {
  const auto write_tokens = [&](const std::string& file) {
    SafetensorsWriter writer(folder_.write(file, ""), {{"input_ids", DType::i32, {30, 10}}});
    std::vector<std::int32_t> ids(300);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * i % 61);
    writer.append(std::as_bytes(std::span(ids)));
    writer.finish();
  };
  Json entry = fixture("gpt2-tied");
  entry["calibration"] = "tokens.safetensors";
  write_tokens("tokens.safetensors"), write_tokens("calibration/gpt2-tied.safetensors");
  write_roster({entry, fixture("llama-mha")});
  run(0, {"--init", "random"});
  EXPECT_EQ(record("gpt2-tied.random").at("calibration").at("kind"), "tokens.safetensors");
  EXPECT_EQ(record("llama-mha.random").at("calibration").at("kind"), "random");
  run(0, {"--init", "random", "--calibration", path("calibration")});
  EXPECT_EQ(record("gpt2-tied.random").at("calibration").at("kind"), "gpt2-tied.safetensors");
}

TEST_F(SuiteCommandTest, SaysInOneLineWhatIsWrongWithTheCommandLine) {
  write_roster({fixture("gpt2-tied"), fixture("llama-mha")});
  expect_failure(2, {"--only", "gpt2-tide"},
                 {"roster.json", "no model 'gpt2-tide'; did you mean 'gpt2-tied'?"});
  expect_failure(2, {"--init", "trained"}, {"--init", "trained"});
  expect_failure(2, {"--device", "gpu"}, {"--device gpu", "cuda:N"});
  expect_failure(2, {"--calibration", path("none")}, {"--calibration", "none"});
  expect_failure(2, {"--resum"}, {"--resum", "--resume"});
  for (const char* out : {"roster.json/x", "roster.json"})
    test::expect_failure(ExitCode::resources, {"suite", path("roster.json"), "--out", path(out)},
                         {path(out)});
  expect_failure(6, {"--json", path("no-folder/x.json")}, {"no-folder"});
  test::expect_failure(ExitCode::usage, {"suite", path("roster.json")}, {"--out"});
  test::expect_failure(ExitCode::usage, {"suite", path("none.json"), "--out", path("out")},
                       {"none.json"});
  folder_.write("roster.json", "{}");
  expect_failure(3, {}, {"roster.json", "deadray/roster/1"});
  EXPECT_FALSE(fs::exists(folder_ / "out/suite.json"));
}

TEST_F(SuiteCommandTest, ReplacesNothingThatItReads) {
  fs::create_directory(folder_ / "gpt2");
  write_small_gpt2(folder_ / "gpt2");
  write_roster({{{"name", "gpt2"}, {"path", path("gpt2")}}});
  const std::string before = read_text(folder_ / "roster.json");
  for (const char* name : {"roster.json", "gpt2/model.safetensors"})
    expect_failure(2, {"--json", path(name)}, {path(name), "would be replaced"});
  fs::create_directory(folder_ / "out");
  for (const char* name : {"out/suite.json", "out/gpt2.random.json"}) {
    fs::create_symlink(folder_ / "roster.json", folder_ / name);
    expect_failure(2, {}, {path(name), "would be replaced"});
    fs::remove(folder_ / name);
  }
  EXPECT_EQ(read_text(folder_ / "roster.json"), before);
}

TEST_F(SuiteCommandTest, RefusesAFolderThatNothingCanBeWrittenTo) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  write_roster({fixture("gpt2-tied")});
  fs::create_directory(folder_ / "out");
  fs::permissions(folder_ / "out", fs::perms::owner_read | fs::perms::owner_exec);
  expect_failure(6, {}, {path("out")});
}

TEST_F(SuiteCommandTest, KeepsWholeRecordsWhenStopped) {
  const Json large{{"model_type", "gpt2"}, {"n_embd", 128},     {"n_head", 2},
                   {"n_layer", 2000},      {"n_positions", 64}, {"vocab_size", 11}};
  write_roster({fixture("gpt2-tied"),
                {{"name", "large"}, {"path", "none"}, {"config", large}},
                fixture("llama-mha")});
  Spawned suite(arguments({"--init", "random"}));
  EXPECT_TRUE(wait_until("the summary after the first row",
                         [&] { return fs::exists(folder_ / "out/suite.json"); }));
  usleep(300'000);  // into the second row
  kill(suite.process(), SIGTERM);
  EXPECT_EQ(suite.wait(), 128 + SIGTERM) << suite.errors();
  const Json summary = Json::parse(read_text(folder_ / "out/suite.json"));
  EXPECT_EQ(states(summary), (std::vector<std::string>{"measured", "stopped", "not run"}));
  EXPECT_EQ(summary.at("code"), 128 + SIGTERM) << "as the process ended";
  EXPECT_EQ(summary.at("rows").at(1).at("code"), 128 + SIGTERM);
  EXPECT_TRUE(summary.at("rows").at(2).at("code").is_null());
  EXPECT_EQ(record("gpt2-tied.random").at("sites").at(0).at("verdict"), "confirmed");
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder_ / "out")) ++files;
  EXPECT_EQ(files, 2U) << "the first record and the summary, nothing half";
}

// A process that the kernel ends takes the others with it no more than a failing one.
TEST_F(SuiteCommandTest, GoesOnPastAProcessThatIsKilled) {
  const Json large{{"model_type", "gpt2"}, {"n_embd", 128},     {"n_head", 2},
                   {"n_layer", 2000},      {"n_positions", 64}, {"vocab_size", 11}};
  write_roster({{{"name", "large"}, {"path", "none"}, {"config", large}}, fixture("llama-mha")});
  Spawned suite(arguments({"--init", "random"}));
  pid_t child = 0;
  ASSERT_TRUE(wait_until("the process of the first row",
                         [&] { return (child = only_child_of(suite.process())) > 0; }));
  kill(child, SIGKILL);
  EXPECT_EQ(suite.wait(), 6) << suite.errors();
  const Json summary = Json::parse(read_text(folder_ / "out/suite.json"));
  EXPECT_EQ(states(summary), (std::vector<std::string>{"failed", "measured"}));
  EXPECT_EQ(summary.at("rows").at(0).at("reason"), "ended by signal 9: out of memory?");
}

// At any moment: the process of a row may just have been started.
TEST_F(SuiteCommandTest, LeavesNoProcessBehindWhenItIsKilled) {
  const Json large{{"model_type", "gpt2"}, {"n_embd", 128},     {"n_head", 2},
                   {"n_layer", 2000},      {"n_positions", 64}, {"vocab_size", 11}};
  write_roster({{{"name", "large"}, {"path", "none"}, {"config", large}}});
  Spawned suite(arguments({"--init", "random"}));
  pid_t child = 0;
  ASSERT_TRUE(wait_until("the process of the row",
                         [&] { return (child = only_child_of(suite.process())) > 0; }));
  kill(suite.process(), SIGKILL);
  suite.wait();
  EXPECT_TRUE(wait_until("its end", [&] {
    const std::string stat = read_text("/proc/" + std::to_string(child) + "/stat");
    return stat.empty() || stat.find(") Z ") != stat.npos;
  }));
  EXPECT_FALSE(fs::exists(folder_ / "out/large.random.json"));
}

TEST_F(SuiteCommandTest, PrintsTheSummaryAsJsonInPlaceOfTheTable) {
  write_roster({fixture("gpt2-tied")});
  const Json suite = run(0, {"--init", "random", "--json", "-"});
  EXPECT_EQ(Json::parse(output_), suite);
  run(0, {"--init", "random", "--quiet"});
  EXPECT_EQ(output_ + errors_, "");
}

}  // namespace
}  // namespace deadray::test
