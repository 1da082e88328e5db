#include "host/architecture/roster.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "host/architecture/architecture.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"

namespace deadray::test {
namespace {

using Json = nlohmann::json;

const fs::path kOurs =
    fs::path(DEADRAY_FIXTURES).parent_path().parent_path() / "scripts/rosters/fourteen.json";

class RosterTest : public testing::Test {
 protected:
  fs::path write(Json::initializer_list_t models) {
    return folder_.write(
        "r.json", Json{{"schema", "deadray/roster/1"}, {"models", Json::array(models)}}.dump());
  }
  /// The one line that these models get.
  std::string complaint(Json::initializer_list_t models) {
    return message_of(ExitCode::malformed, [&] { read_roster(write(models)); });
  }
  std::string complaint_of_text(const std::string& text) {
    return message_of(ExitCode::malformed, [&] { read_roster(folder_.write("r.json", text)); });
  }
  Json model(const Json& more = Json::object()) const {
    Json entry{{"name", "m"}, {"config", {{"model_type", "gpt2"}}}};
    entry.update(more);
    return entry;
  }

  TemporaryFolder folder_;
};

TEST_F(RosterTest, OursHasFourteenModelsWhoseConfigurationsSayWhatTheEntriesSay) {
  const Roster roster = read_roster(kOurs);
  ASSERT_EQ(roster.models.size(), 14U);
  EXPECT_NE(roster.note.find("the paper's own list is not public"), std::string::npos);
  const auto known = [](const std::string& type) {
    return std::any_of(families().begin(), families().end(),
                       [&](const Family& family) { return family.model_type == type; });
  };
  for (const RosterEntry& entry : roster.models) {
    EXPECT_FALSE(entry.hf_id.empty()) << entry.name;
    ASSERT_TRUE(entry.norm && entry.parameters) << entry.name;
    EXPECT_GE(*entry.parameters, 160'000'000) << entry.name;
    EXPECT_LE(*entry.parameters, 35'000'000'000) << entry.name;
    if (!known(Json::parse(entry.config).at("model_type"))) continue;
    const Architecture architecture =
        describe_architecture(Config::parse(entry.config, entry.config_name));
    ASSERT_TRUE(architecture.final_norm) << entry.name;
    EXPECT_EQ(architecture.final_norm->kind, *entry.norm) << entry.name;
  }
}

// transformers counted them: another source than the description.
TEST_F(RosterTest, OursCountsTheParametersOfTextModelsAsTransformersDoes) {
  for (const RosterEntry& entry : read_roster(kOurs).models) {
    if (entry.name != "gpt2-xl" && entry.name != "Llama-3.1-8B") continue;
    EXPECT_EQ(
        count_parameters(describe_architecture(Config::parse(entry.config, entry.config_name))),
        *entry.parameters)
        << entry.name;
  }
}

TEST_F(RosterTest, TakesPathsFromItsOwnFolder) {
  const Roster roster = read_roster(write({{{"name", "a"},
                                            {"path", "models/a"},
                                            {"calibration", "../tokens.npy"},
                                            {"sequence_length", 12},
                                            {"gated", true}}}));
  const RosterEntry& entry = roster.models.at(0);
  EXPECT_EQ(entry.path, folder_ / "models/a");
  EXPECT_EQ(entry.calibration, folder_.path().parent_path() / "tokens.npy");
  EXPECT_EQ(entry.sequence_length, 12);
  EXPECT_EQ(entry.config, "");
  EXPECT_NE(entry.gated, "");
  EXPECT_EQ(read_roster(write({model({{"path", "/a/b"}})})).models.at(0).path, "/a/b");
}

TEST_F(RosterTest, NamesFileEntryAndKeyOfWhatIsWrong) {
  const std::string file = (folder_ / "r.json").string();
  const auto expect = [&](const std::string& line, const std::vector<std::string>& parts) {
    EXPECT_TRUE(line.starts_with(file)) << line;
    for (const std::string& part : parts) EXPECT_TRUE(contains(line, part));
  };
  expect(complaint({model({{"hfid", "a/b"}})}),
         {": m: ", "unknown key 'hfid'", "did you mean 'hf_id'?"});
  expect(complaint({model(), model({{"hf_id", "a/b"}})}),
         {"models[1]", "second model of the name 'm'"});
  expect(complaint({{{"name", "m"}, {"hf_id", "a/b"}}}), {": m: ", "neither 'config' nor 'path'"});
  for (const char* id : {"a/b/c", "/b", "a/", "..", "a/..", "a b", "https://x/y"})
    expect(complaint({model({{"hf_id", id}})}), {": m: key 'hf_id' is ", "ORGANISATION/NAME"});
  for (const char* revision : {"../x", "/x", "a//b", "a/"})
    expect(complaint({model({{"revision", revision}})}), {"key 'revision'", revision});
  for (const Json& name : {Json("a/b"), Json(".."), Json(""), Json(7), Json("a b"), Json("-x")})
    expect(complaint({{{"name", name}, {"path", "x"}}}), {"models[0]", "key 'name' is "});
  expect(complaint({{{"path", "x"}}}), {"models[0]", "key 'name' is missing"});
  expect(complaint({model({{"config", "x"}})}), {": m: key 'config' is \"x\" (a string)"});
  expect(complaint({model({{"norm", "batchnorm"}})}), {"key 'norm'", "'layernorm' or 'rmsnorm'"});
  for (const Json& count : {Json(0), Json(-1), Json(1.5), Json("7")})
    expect(complaint({model({{"parameters", count}})}),
           {"key 'parameters'", "an integer of at least 1"});
  expect(complaint({model({{"sequence_length", 0}})}), {"key 'sequence_length'"});
  expect(complaint({model({{"gated", 3}})}), {"key 'gated'"});
  expect(complaint({7}), {"models[0] is 7"});
  expect(complaint({}), {"key 'models'", "at least one model"});
}

TEST_F(RosterTest, RefusesWhatIsNoRoster) {
  EXPECT_TRUE(contains(complaint_of_text("["), "r.json"));
  EXPECT_TRUE(contains(complaint_of_text("{}"), "'deadray/roster/1'"));
  EXPECT_TRUE(contains(complaint_of_text(R"({"schema": "deadray/verify/1"})"), "is it a roster?"));
  EXPECT_TRUE(
      contains(complaint_of_text(R"({"schema": "deadray/roster/1"})"), "key 'models' is missing"));
  EXPECT_TRUE(contains(
      complaint_of_text(
          R"({"schema": "deadray/roster/1", "model": [], "models": [{"name": "m", "path": "x"}]})"),
      "unknown key 'model'; did you mean 'models'?"));
  EXPECT_TRUE(
      contains(complaint_of_text(
                   R"({"schema": "deadray/roster/1", "models": [{"name": "m", "name": "n"}]})"),
               "name"));
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { read_roster(folder_ / "none.json"); }),
                       "none.json"));
}

TEST_F(RosterTest, SelectsInItsOwnOrderAndNamesWhatIsNear) {
  const Roster roster = read_roster(write(
      {model({{"name", "gpt2-a"}}), model({{"name", "bert-b"}}), model({{"name", "llama-c"}})}));
  const auto chosen = select_models(roster, {"llama-c", "gpt2-a"});
  ASSERT_EQ(chosen.size(), 2U);
  EXPECT_EQ(chosen[0].name, "gpt2-a");
  EXPECT_EQ(select_models(roster, {}).size(), 3U);
  EXPECT_TRUE(contains(message_of(ExitCode::usage, [&] { select_models(roster, {"bert-d"}); }),
                       "no model 'bert-d'; did you mean 'bert-b'?"));
}

}  // namespace
}  // namespace deadray::test
