#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "host/base/error.h"
#include "tests/support/spawned.h"

namespace deadray::test {
namespace {

TEST(ModelsCommandTest, ModelsListsTheFamilies) {
  Spawned run({"models", "--json", "-"});
  ASSERT_EQ(run.wait(), 0);
  const auto r = nlohmann::json::parse(run.output());
  EXPECT_EQ(r["schema"], "deadray/models/1");
  EXPECT_FALSE(r["families"].empty());
  for (const auto& family : r["families"]) {
    EXPECT_FALSE(family["description"].get<std::string>().empty());
    EXPECT_GT(family["fixtures"], 0) << family;
  }
}

// What is shown of a model comes from a record that is there: without one it is null.
TEST(ModelsCommandTest, ModelsShowsOfTheRosterWhatTheCommittedRecordsSay) {
  const fs::path results = fs::path(DEADRAY_FIXTURES).parent_path().parent_path() / "results";
  Spawned run({"models", "--json", "-"}), table({"models"});
  const auto r = nlohmann::json::parse(run.output());
  ASSERT_EQ(r["roster"]["models"].size(), 14U);
  for (const auto& model : r["roster"]["models"]) {
    EXPECT_EQ(model["dead_directions"] > 0, model["norm"] == "layernorm")
        << model;  // an RMSNorm fixes no direction
    for (const char* init : {"random", "checkpoint"})
      EXPECT_EQ(model[init].is_null(),
                !fs::exists(results / (model["name"].get<std::string>() + "." + init + ".json")))
          << model;
  }
  EXPECT_NE(table.output().find("the paper's own list is not public"), std::string::npos)
      << table.output();
}

/// A copy of the program in a folder of its own, where it finds no data but what is put there.
class LonelyModelsCommandTest : public ::testing::Test {
 protected:
  LonelyModelsCommandTest() {
    fs::create_directories(folder_ / "bin");
    fs::copy_file(DEADRAY_BIN "/deadray", program());
  }
  fs::path program() const { return folder_ / "bin/deadray"; }

  TemporaryFolder folder_;
};

TEST_F(LonelyModelsCommandTest, ListsTheFamiliesAndNamesTheFileThatIsMissing) {
  Spawned table({"models"}, -1, program());
  EXPECT_EQ(table.wait(), 0);
  EXPECT_NE(table.output().find("gpt2"), std::string::npos) << table.output();
  const std::string errors = table.errors();
  EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 1) << errors;
  EXPECT_NE(errors.find("/share/deadray/models.json: no such file"), std::string::npos) << errors;
  Spawned record({"models", "--json", "-"}, -1, program());
  const auto r = nlohmann::json::parse(record.output());
  EXPECT_FALSE(r["families"].empty());
  EXPECT_TRUE(r["families"][0]["fixtures"].is_null()) << "not known is not none";
  EXPECT_TRUE(r["roster"].is_null());
  Spawned quiet({"models", "--quiet"}, -1, program());
  EXPECT_EQ(quiet.output() + quiet.errors(), "");
}

TEST_F(LonelyModelsCommandTest, RefusesADamagedFile) {
  folder_.write("share/deadray/models.json", R"({"roster": {"note": "ours"}})");
  Spawned run({"models"}, -1, program());
  EXPECT_EQ(run.wait(), static_cast<int>(ExitCode::malformed));
  EXPECT_NE(run.errors().find("models.json: not as deadray's build writes it"), std::string::npos)
      << run.errors();
}

}  // namespace
}  // namespace deadray::test
