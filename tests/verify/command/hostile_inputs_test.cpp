#include <sys/stat.h>

#include <algorithm>

#include "tests/support/hostile_text.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/verify/command/verify_fixture.h"

// What comes from elsewhere and is measured: models, activations, rosters, records of a suite.
namespace deadray::test {
namespace {

using Json = nlohmann::json;

class HostileInputsTest : public VerifyCommandTest {
 protected:
  /// Both outputs must be harmless, whatever the exit code.
  int run(std::vector<std::string> arguments) {
    Spawned program(std::move(arguments));
    const int code = program.wait();
    output_ = program.output(), errors_ = program.errors();
    EXPECT_TRUE(is_harmless(output_));
    EXPECT_TRUE(is_harmless(errors_));
    return code;
  }
  void write_roster(const Json& model) {
    folder_.write(
        "roster.json",
        Json{{"schema", "deadray/roster/1"}, {"note", kHostile}, {"models", Json::array({model})}}
            .dump());
  }
  std::vector<std::string> suite(const std::vector<std::string>& more = {},
                                 const std::string& init = "random") const {
    std::vector<std::string> words = {
        "suite", path("roster.json"), "--out", path("out"),         "--init",
        init,    "--random-tokens",   "300",   "--sequence-length", "20"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static Json gpt2() { return {{"name", "a"}, {"path", kModels + "gpt2-tied"}}; }
  std::string record_path() const { return path("out/a.random.json"); }
  std::vector<std::string> states() const {
    std::vector<std::string> states;
    const Json summary = Json::parse(read_text(path("out/suite.json")));
    for (const Json& row : summary.at("rows")) states.push_back(row.at("state"));
    return states;
  }

  std::string output_, errors_;
};

TEST_F(HostileInputsTest, NamesOfVerifyReachNoTerminal) {
  std::string name = kHostile;
  std::replace(name.begin(), name.end(), '/', '_');
  const fs::path model = folder_ / name;
  fs::create_directory(model);
  fs::copy_file(kModels + "gpt2-tied/config.json", model / "config.json");
  for (const char* more : {"--json=-", "--dry-run", "--residual"})
    EXPECT_EQ(run({"verify", model.string(), "--init", "random", "--random-tokens", "300", more}),
              0)
        << errors_;
  EXPECT_EQ(run({"fisher", model.string(), "--init", "random", "--random-tokens", "60"}), 0)
      << errors_;
  fs::rename(write_activations("output", 200, true), folder_ / (name + ".safetensors"));
  EXPECT_EQ(run({"verify", "--activations", path(name + ".safetensors")}), 0) << errors_;
  EXPECT_EQ(output_.find("\nN"), output_.npos) << "a forged line: " << output_;
  folder_.write("t.npy", kHostile);
  run({"verify", model.string(), "--init", "random", "--tokens", path("t.npy")});
  EXPECT_NE(errors_, "");
}

TEST_F(HostileInputsTest, MetadataOfActivationsReachesNoTerminal) {
  for (const char* key : {"norm", "eps", "model"}) {
    SafetensorsWriter writer(folder_ / "a.safetensors",
                             {{"weight", DType::f32, {2}}, {"output", DType::f32, {4, 2}}},
                             {{key, kHostile}});
    writer.append(std::vector<std::byte>(8));
    writer.append(std::vector<std::byte>(32));
    writer.finish();
    run({"verify", "--activations", path("a.safetensors")});
    EXPECT_NE(errors_, "") << key;
  }
}

TEST_F(HostileInputsTest, TheLargestConfigurationDoesNotFit) {
  const std::string most = "1073741824";
  folder_.write("config.json", R"({"model_type": "gpt2", "n_embd": 131072, "n_head": 1,
    "n_layer": 10000, "n_positions": )" +
                                   most + R"(, "vocab_size": )" + most + "}");
  for (const char* site : {"final", "all"})
    expect_failure(
        6, {folder_.path().string(), "--init", "random", "--random-tokens", "16", "--site", site},
        {});
}

// A sparse file: the scale of a norm that is as wide as the file is long.
TEST_F(HostileInputsTest, NoNormIsOfAnyWidth) {
  const std::int64_t width = (1 << 24) + 1;
  std::string head = R"({"weight":{"dtype":"F32","shape":[16777217],"data_offsets":[0,67108868]},
    "output":{"dtype":"F32","shape":[2,16777217],"data_offsets":[67108868,201326604]}})";
  head.resize(192, ' ');
  folder_.write("a.safetensors", safetensors(head));
  fs::resize_file(folder_ / "a.safetensors", 200 + 3 * 4 * width);
  expect_failure(3, {"--activations", path("a.safetensors"), "--norm", "rmsnorm"},
                 {"is 16777217 wide, expected at most 16777216"});
}

TEST_F(HostileInputsTest, ARosterNamesNoFileElsewhere) {
  for (const char* name :
       {"../a", "/tmp/a", "a/b", "..", ".a", "-a", "a\\u0000b", "a\\u001b[31m"}) {
    folder_.write("roster.json", R"({"schema": "deadray/roster/1", "models": [{"name": ")" +
                                     std::string(name) + R"(", "path": "x"}]})");
    EXPECT_EQ(run(suite()), 3) << name;
    EXPECT_FALSE(fs::exists(folder_ / "out/suite.json"));
  }
  for (const char* key : {"hf_id", "revision"})
    for (const char* value : {"../../a", "/a", "a/../../b", "a;touch x", "$(touch x)"}) {
      write_roster({{"name", "a"}, {"path", "x"}, {key, value}});
      EXPECT_EQ(run(suite()), 3) << value;
    }
}

TEST_F(HostileInputsTest, ACommandThatIsToBeCopiedQuotesWhatARosterSays) {
  write_roster({{"name", "a"}, {"path", "x;touch y"}, {"hf_id", "o/n"}});
  EXPECT_EQ(run(suite({}, "checkpoint")), 5) << errors_;
  EXPECT_NE(errors_.find("--local-dir '" + path("x;touch y") + "'"), errors_.npos) << errors_;
}

TEST_F(HostileInputsTest, ASuiteWritesThroughNoLinkPipeOrDeviceOfItsFolder) {
  write_roster(gpt2());
  fs::create_directory(folder_ / "out");
  folder_.write("precious", "before");
  for (const std::string name : {"suite.json", "a.random.json"}) {
    const fs::path file = folder_ / "out" / name;
    for (const fs::path& to : {folder_ / "precious", folder_ / "new", fs::path("/dev/null")}) {
      fs::create_symlink(to, file);
      EXPECT_EQ(run(suite()), 2);
      EXPECT_NE(errors_.find(name + ": is a link to"), errors_.npos) << errors_;
      fs::remove(file);
    }
    ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
    EXPECT_EQ(run(suite()), 2);
    EXPECT_NE(errors_.find(name + ": is no regular file"), errors_.npos) << errors_;
    fs::remove(file);
  }
  EXPECT_EQ(read_text(folder_ / "precious"), "before");
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

TEST_F(HostileInputsTest, AResumedRecordIsBelievedOnlyWhereItIsWhole) {
  write_roster(gpt2());
  ASSERT_EQ(run(suite()), 0) << errors_;
  const Json sound = Json::parse(read_text(record_path()));
  ASSERT_EQ(run(suite({"--resume"})), 0);
  ASSERT_EQ(states(), std::vector<std::string>{"kept"});
  const std::string deep(1'000'000, '['), closed(1'000'000, ']');
  const auto changed = [&](const std::string& pointer, const Json& value) {
    Json record = sound;
    record[Json::json_pointer(pointer)] = value;
    return record.dump();
  };
  std::string nested = changed("/suite/inputs", "HERE");
  nested.replace(nested.find("\"HERE\""), 6, deep + closed);
  for (const std::string& text :
       {nested, deep, changed("/sites/0/norm", 5), changed("/sites/0/verdict", kHostile),
        changed("/sites/0/exact/principal_cosines", Json::array({"a"})),
        changed("/sites/0/hidden_size", kHostile), changed("/residual/preserved", kHostile),
        changed("/calibration", nullptr), changed("/suite/inputs/seed", kHostile),
        changed("/model", Json::array()), std::string("[]"), std::string("5"), kHostile}) {
    write_text(record_path(), text);
    EXPECT_EQ(run(suite({"--resume"})), 0) << text.substr(0, 100) << errors_;
    EXPECT_EQ(states(), std::vector<std::string>{"measured"}) << text.substr(0, 100);
  }
  fs::remove(record_path());
  write_text(record_path(), "{");
  fs::resize_file(record_path(), std::uint64_t{10} << 30);
  EXPECT_EQ(run(suite({"--resume"})), 3);
}

TEST_F(HostileInputsTest, ConvertWritesThroughNoLinkOfItsFolder) {
  fs::create_directory(folder_ / "out");
  for (const char* name : {"model.safetensors", "config.json"}) {
    fs::create_symlink(folder_ / "new", folder_ / "out" / name);
    EXPECT_EQ(run({"convert", kModels + "gpt2-tied", path("out"), "--force"}), 2);
    EXPECT_NE(errors_.find(std::string(name) + ": is a link to"), errors_.npos) << errors_;
    fs::remove(folder_ / "out" / name);
  }
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

}  // namespace
}  // namespace deadray::test
